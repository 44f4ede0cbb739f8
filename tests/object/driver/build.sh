#!/bin/sh
# The objects of the driver beside it, or in the folder that is given: as it is, and with each of its races.
set -e
cd "$(dirname "$0")"
out=${1:-.}
for name in queue domain trouble checks sends; do
	for race in '' RACE_DOORBELL RACE_ATTACH; do
		case $race-$name in RACE_DOORBELL-domain | RACE_ATTACH-queue | RACE*-trouble | RACE*-checks | RACE*-sends) continue ;; esac
		riscv64-linux-gnu-gcc -march=rv64imac_zicsr -mabi=lp64 -mcmodel=medany -O2 -std=gnu11 -Wall -Werror \
			-ffreestanding -mno-relax -fno-pic -fno-stack-protector -fno-asynchronous-unwind-tables -gdwarf-5 -fno-var-tracking \
			-ffile-prefix-map="$PWD"=. ${race:+-D$race} \
			-c $name.c -o "$out/$name${race:+.$(echo $race | tr '[:upper:]_' '[:lower:]-')}.o"
	done
done
