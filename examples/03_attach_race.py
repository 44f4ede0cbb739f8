"""The reviewed driver against the merged one: an unmap, while a device is attached to the same domain."""

import cosim

for driver in ("v2", "merged"):
    result = cosim.run("concurrent_attach", driver=driver)
    faults = sum(sum(causes.values()) for causes in result.faults.values())
    print(f"{driver}: {result.violation_count} violations, {faults} faults")
    if result.violations:
        first = result.violations[0]
        print(f"  at {first.time_ps / 1e6:.3f} us, {first.oracle}: {first.message}")
