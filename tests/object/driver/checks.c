/* What a driver calls where the kernel is built to find bugs, or with read sections of RCU that are calls. */
#include "own.h"

void __rcu_read_lock(void);
void __rcu_read_unlock(void);
void synchronize_rcu(void);
int dynamic_might_resched(void);
unsigned long __virt_to_phys(unsigned long);
void __raw_spin_lock_init(raw_spinlock_t *, const char *name, void *key, short inner);
void lock_acquire(void *map, unsigned int subclass, int trylock, int read, int check, void *nest, unsigned long ip);
void lock_release(void *map, unsigned long ip);
bool __list_add_valid_or_report(struct list_head *, struct list_head *prev, struct list_head *next);
bool __list_del_entry_valid_or_report(struct list_head *);
void preempt_count_add(int by);
void preempt_count_sub(int by);

u64 checks_reads(const u64 *from)
{
	u64 value;

	__rcu_read_lock();
	__rcu_read_lock();
	value = READ_ONCE(*from);
	__rcu_read_unlock();
	__rcu_read_unlock();
	return value;
}

void checks_ends_what_has_not_begun(void) { __rcu_read_unlock(); }

void checks_waits(void) { synchronize_rcu(); }

unsigned long checks_translates(unsigned long at) { return __virt_to_phys(at) + dynamic_might_resched(); }

void checks_locks(raw_spinlock_t *lock)
{
	__raw_spin_lock_init(lock, "lock", lock, 0);
	lock_acquire(lock, 0, 0, 0, 1, NULL, 0);
	_raw_spin_lock(lock);
	_raw_spin_unlock(lock);
	lock_release(lock, 0);
}

bool checks_adding_fails(struct list_head *entry, struct list_head *prev, struct list_head *next)
{
	return !__list_add_valid_or_report(entry, prev, next);
}

bool checks_taking_out_fails(struct list_head *entry) { return !__list_del_entry_valid_or_report(entry); }

u64 checks_reads_with_preemption_off(const u64 *from)
{
	u64 value;

	preempt_count_add(1);
	value = READ_ONCE(*from) + READ_ONCE(current->thread_info.preempt_count);
	preempt_count_sub(1);
	return value;
}

void checks_enables_preemption(void) { preempt_count_sub(1); }

bool rcu_is_watching(void);
int lock_is_held_type(const void *map, int read);

bool checks_rcu_sleeps(void) { return !rcu_is_watching(); }

int checks_holds(const raw_spinlock_t *lock) { return lock_is_held_type(lock, -1); }
