/* What a driver should not do, a function for each; linked beside the driver, and called by the tests. */
#include "own.h"

struct pair {
	u64 first;
	u64 second;
};

void trouble_loops(void)
{
	for (;;)
		__asm__ __volatile__("");
}

void trouble_jumps(void (*to)(void)) { to(); }

u64 trouble_loads(const u64 *from) { return *from; }

void trouble_stores(u64 *to) { *to = 1; }

void trouble_is_a_bug(void) { __asm__ __volatile__("ebreak"); }

u64 trouble_reads_what_it_allocated(void)
{
	struct pair *pair = __kmalloc_noprof(sizeof(*pair), GFP_KERNEL);

	pair->first = 7;
	return pair->first + READ_ONCE(pair->second);
}

bool trouble_reads_an_unset_member(struct device *dev) { return READ_ONCE(dev->offline); }

void trouble_frees_twice(void)
{
	void *pair = __kmalloc_noprof(sizeof(struct pair), GFP_KERNEL | ZEROED);

	kfree(pair);
	kfree(pair);
}

void trouble_sleeps_with_a_lock(raw_spinlock_t *lock)
{
	_raw_spin_lock_irqsave(lock);
	usleep_range_state(5, 10, 2);
}

void trouble_prints(struct device *dev, const char *name)
{
	_dev_warn(dev, "%s: %d of %u, %#x %#lx %lu, %5d%% %c\n", name, -3, 4u, 0xffu, 1ul << 40, ~0ul, 42, 'x');
}

u64 trouble_swaps(u64 *at, u64 expect, u64 value)
{
	u64 old, failed;
	u64 held = value;

	__asm__ __volatile__("0: lr.d %0, %2; bne %0, %3, 1f; sc.d.rl %1, %4, %2; bnez %1, 0b; 1:"
			     : "=&r"(old), "=&r"(failed), "+A"(*at)
			     : "r"(expect), "r"(held)
			     : "memory");
	return old;
}

/* This compiler acquires by the SC alone, so that a swap that fails does not. */
u64 trouble_swaps_and_acquires(u64 *at, u64 expect, u64 value)
{
	__atomic_compare_exchange_n(at, &expect, value, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
	return expect;
}

u32 trouble_adds(u32 *at)
{
	u32 old;

	__asm__ __volatile__("amoadd.w.rl %0, %2, %1" : "=r"(old), "+A"(*at) : "r"(-1) : "memory");
	return old;
}

u64 trouble_spills(volatile u64 value) { return value; }

u64 trouble_follows(u64 **first) { return **first; }
