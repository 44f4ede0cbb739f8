/* What a driver should not do, and what it seldom does, a function for each; linked beside the driver, for the tests. */
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

void trouble_jumps_later(u64 *at, void (*to)(void))
{
	WRITE_ONCE(*at, 1);
	to();
}

u64 trouble_loads(const u64 *from) { return *from; }

void trouble_stores(u64 *to) { *to = 1; }

void trouble_is_a_bug(void) { __asm__ __volatile__("ebreak"); }

/* As the kernel has it, with CONFIG_GENERIC_BUG: an EBREAK, and an entry that says whether it is but a warning. */
#define MARKED_EBREAK(flags)                                                                                           \
	__asm__ __volatile__("1: ebreak\n"                                                                             \
			     ".pushsection __bug_table, \"aw\"\n"                                                       \
			     "2: .long 1b - 2b, 0\n"                                                                   \
			     ".half 0, " flags "\n"                                                                     \
			     ".popsection")

void trouble_has_a_marked_bug(void) { MARKED_EBREAK("0"); }

void trouble_warns_once(u64 *at)
{
	MARKED_EBREAK("3");
	*at = 1;
}

/* The last of the table. */
void trouble_warns(u64 *at)
{
	MARKED_EBREAK("1");
	*at = 2;
}

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

/* --- What compiled code does without a call, or with one that most drivers do not make --------------------------- */

u64 trouble_reads_with_preemption_off(u64 *at)
{
	u64 value;

	WRITE_ONCE(current->thread_info.preempt_count, current->thread_info.preempt_count + 1);
	value = READ_ONCE(*at);
	WRITE_ONCE(current->thread_info.preempt_count, current->thread_info.preempt_count - 1);
	return value;
}

int trouble_asks_where_it_runs(void) { return READ_ONCE(current->thread_info.cpu); }

void *trouble_frees_after_a_grace_period(void)
{
	struct pair *pair = __kmalloc_noprof(sizeof(*pair), GFP_KERNEL | ZEROED);

	kvfree_call_rcu(NULL, pair);
	return pair;
}

static void count(struct device *dev, void *data) { (**(u64 **)data)++; }

static int same(struct device *dev, void *data, void *wanted) { return *(void **)data == wanted; }

int trouble_holds(struct device *dev, u64 *counter)
{
	u64 **data = __devres_alloc_node(count, sizeof(*data), GFP_KERNEL, -1, "count");

	*data = counter;
	devres_add(dev, data);
	return 0;
}

int trouble_lets_go(struct device *dev, u64 *counter) { return devres_release(dev, count, same, counter); }

#define DESCRIPTOR(page) ((struct list_head *)(0xffffffef00000008ul + (u64)(page) / PAGE * 64))

void trouble_frees_a_list(void)
{
	struct list_head *first = DESCRIPTOR(iommu_alloc_pages_node_sz(-1, GFP_KERNEL, PAGE));
	struct list_head *second = DESCRIPTOR(iommu_alloc_pages_node_sz(-1, GFP_KERNEL, PAGE));
	struct iommu_pages_list list = { { first, second } };

	WRITE_ONCE(first->next, second);
	WRITE_ONCE(second->next, &list.pages);
	iommu_put_pages_list(&list);
}

int trouble_complains(void *state) { return ___ratelimit(state, "trouble"); }

void trouble_copies(void *to, const void *from, size_t size) { memcpy(to, from, size); }

u32 trouble_polls(const char *at, u32 seen)
{
	u32 value;

	do {
		value = read32(at);
		ktime_get();
	} while (value == seen);
	return value;
}

u64 trouble_allocates_what_it_reads(const size_t *size)
{
	const u64 *at = __kmalloc_noprof(READ_ONCE(*size), GFP_KERNEL | ZEROED);

	return READ_ONCE(*at);
}

int trouble_takes_an_id(struct ida *ids, u32 lowest, u32 highest)
{
	return ida_alloc_range(ids, lowest, highest, GFP_KERNEL);
}

void trouble_gives_an_id_back(struct ida *ids, u32 id) { ida_free(ids, id); }

void *trouble_allocates_for(struct device *dev, size_t size) { return devm_kmalloc(dev, size, GFP_KERNEL | ZEROED); }

int dev_err_probe(const struct device *, int error, const char *format, ...);

int trouble_gives_up(struct device *dev, int error, int clock)
{
	return dev_err_probe(dev, error, "no clock %d\n", clock);
}

void trouble_stores_through(u64 **to) { WRITE_ONCE(**to, 1); }
