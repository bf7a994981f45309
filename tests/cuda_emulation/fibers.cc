/* fibers.cc - runs a kernel: every thread of a block as a fiber, one block after the other. */
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include <sys/mman.h>
#include <ucontext.h>

#include "tests/cuda_emulation/emulation.h"

#define MOST_THREADS 1024
#define MOST_SHARED  ((size_t)227 << 10) /* bytes, of the newest GPUs that the module names */
#define STACK_BYTES  ((size_t)128 << 10)
#define PAGE_BYTES   ((size_t)4096)
#define WARP         32

dim3 threadIdx, blockIdx, blockDim, gridDim;
extern cudaError_t emulation_last_error;

/* Counts how often all of a group have met. */
struct meeting {
    int arrived;
    unsigned times;
};

/* A copy that has been started; `batch` counts the batches before its own. */
struct copy {
    void *to;
    const void *from;
    int bytes, room;
    unsigned batch;
};

struct fiber {
    std::vector<struct copy> copies; /* that have not arrived, in order */
    unsigned batches;                /* given so far */
    jmp_buf here;
    bool started, done;
    const unsigned *waits_for; /* NULL: can go on; else when *waits_for differs from `seen` */
    unsigned seen;
};

struct warp {
    struct meeting meeting;
    struct emulation_slots slots[2]; /* of even and odd meetings */
};

static struct {
    struct fiber fibers[MOST_THREADS];
    struct warp warps[MOST_THREADS / WARP];
    struct meeting block;
    unsigned char *stacks;
    ucontext_t caller;
    jmp_buf back;
    int threads, left, current;
    bool backwards; /* the order of blocks and threads */
    bool ahead;     /* a warp runs on as long as it can */
    bool at_once;   /* copies beside the work arrive when they are started */
    unsigned launches;
    const std::function<void()> *thread;
    alignas(256) unsigned char shared[MOST_SHARED];
} run;

void emulation_fail(const char *what) {
    fprintf(stderr, "cuda emulation: block (%u, %u, %u), thread %d: %s\n", blockIdx.x, blockIdx.y, blockIdx.z,
            run.current, what);
    abort();
}

/* The thread that a place in the order of this launch holds. */
static int thread_at(int place) {
    return run.backwards ? run.threads - 1 - place : place;
}

static bool can_run(const struct fiber *f) {
    return !f->done && (f->waits_for == NULL || *f->waits_for != f->seen);
}

/* The next thread in order that can go on. */
static int next_thread(void) {
    const int from = run.ahead ? run.threads - 1 : thread_at(run.current);
    for (int i = 1; i <= run.threads; i++) {
        const int place = from + i < run.threads ? from + i : from + i - run.threads;
        const int thread = thread_at(place);
        if (can_run(&run.fibers[thread])) return thread;
    }
    emulation_fail(
        "no thread can go on: not all threads of the block, or lanes of the warp, reach this place");
    return 0;
}

static void fiber_main(void);

static void enter(int thread) {
    struct fiber *f = &run.fibers[thread];
    run.current = thread;
    threadIdx = dim3(static_cast<unsigned>(thread), 0, 0);
    f->waits_for = NULL;
    if (f->started) _longjmp(f->here, 1);
    f->started = true;
    ucontext_t context;
    getcontext(&context);
    context.uc_stack.ss_sp = run.stacks + static_cast<size_t>(thread) * STACK_BYTES + PAGE_BYTES;
    context.uc_stack.ss_size = STACK_BYTES - PAGE_BYTES;
    context.uc_link = NULL;
    makecontext(&context, fiber_main, 0);
    setcontext(&context);
}

/* Leaves this fiber for another; comes back when that one's turn is over. */
static void __attribute__((noinline)) leave(void) {
    if (_setjmp(run.fibers[run.current].here) == 0) enter(next_thread());
}

/* A fiber lives on from block to block: it waits at the end of its loop for the next one. */
static void fiber_main(void) {
    for (;;) {
        (*run.thread)();
        struct fiber *f = &run.fibers[run.current];
        if (!f->copies.empty()) emulation_fail("ends before its copies to shared memory have arrived");
        f->done = true;
        if (_setjmp(f->here) == 0) {
            if (--run.left == 0) _longjmp(run.back, 1);
            enter(next_thread());
        }
    }
}

static void wait_for_others(struct meeting *m, int members) {
    if (++m->arrived == members) {
        m->arrived = 0;
        m->times++;
        return;
    }
    struct fiber *f = &run.fibers[run.current];
    f->waits_for = &m->times;
    f->seen = m->times;
    leave();
}

void __syncthreads(void) {
    wait_for_others(&run.block, run.threads);
}

static void carry_out(const struct copy *c) {
    memcpy(c->to, c->from, static_cast<size_t>(c->bytes));
    memset(static_cast<char *>(c->to) + c->bytes, 0, static_cast<size_t>(c->room - c->bytes));
}

void emulation_copy(void *to, const void *from, int bytes, int room) {
    struct fiber *f = &run.fibers[run.current];
    f->copies.push_back({to, from, bytes, room, f->batches});
    if (run.at_once) carry_out(&f->copies.back());
}

void emulation_copies_given(void) {
    run.fibers[run.current].batches++;
}

void emulation_copies_wait(unsigned left) {
    struct fiber *f = &run.fibers[run.current];
    size_t arrived = 0;
    while (arrived < f->copies.size() && f->copies[arrived].batch + left < f->batches) {
        if (!run.at_once) carry_out(&f->copies[arrived]);
        arrived++;
    }
    f->copies.erase(f->copies.begin(), f->copies.begin() + static_cast<long>(arrived));
}

int emulation_lane(void) {
    return run.current % WARP;
}

int emulation_lanes(void) {
    const int first = run.current / WARP * WARP;
    return run.threads - first < WARP ? run.threads - first : WARP;
}

const struct emulation_slots *emulation_exchange(const void *value, size_t bytes) {
    struct warp *w = &run.warps[run.current / WARP];
    struct emulation_slots *slots = &w->slots[w->meeting.times % 2];
    memcpy(slots->of_lane[emulation_lane()], value, bytes);
    wait_for_others(&w->meeting, emulation_lanes());
    return slots;
}

size_t emulation_most_shared(void) {
    const char *wish = getenv("MOE_EMULATION_SHARED");
    const size_t bytes = wish != NULL ? strtoull(wish, NULL, 10) : MOST_SHARED;
    return bytes < MOST_SHARED ? bytes : MOST_SHARED;
}

void *emulation_shared(void) {
    return run.shared;
}

static void map_stacks(void) {
    const size_t bytes = MOST_THREADS * STACK_BYTES;
    void *block =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (block == MAP_FAILED) emulation_fail("no memory for stacks");
    run.stacks = static_cast<unsigned char *>(block);
    for (size_t i = 0; i < MOST_THREADS; i++)
        mprotect(run.stacks + i * STACK_BYTES, PAGE_BYTES, PROT_NONE);
}

static void run_block(size_t shared) {
    memset(run.shared, 0xff, shared);
    run.block = {0, 0};
    for (int i = 0; i < run.threads; i++) {
        run.fibers[i].done = false;
        run.fibers[i].batches = 0;
        run.fibers[i].waits_for = NULL;
    }
    for (int i = 0; i <= (run.threads - 1) / WARP; i++)
        run.warps[i].meeting = {0, 0};
    run.left = run.threads;
    if (_setjmp(run.back) == 0) enter(thread_at(0));
}

void emulation_launch(const void *kernel, dim3 grid, int threads, size_t shared,
                      const std::function<void()> &thread) {
    emulation_record(kernel);
    if (threads < 1 || threads > MOST_THREADS || grid.y > 65535 || grid.z > 65535 ||
        shared > emulation_most_shared()) {
        emulation_last_error = cudaErrorInvalidConfiguration;
        return;
    }
    if (run.stacks == NULL) map_stacks();
    const unsigned chance = run.launches++ * 2654435761u >> 29; /* so that no kernel always gets the same */
    run.backwards = (chance & 1) != 0;
    run.ahead = (chance & 2) != 0;
    run.at_once = (chance & 4) != 0;
    run.threads = threads;
    run.thread = &thread;
    gridDim = grid;
    blockDim = dim3(static_cast<unsigned>(threads));
    const unsigned blocks = grid.x * grid.y * grid.z;
    for (unsigned i = 0; i < blocks; i++) {
        const unsigned b = run.backwards ? blocks - 1 - i : i;
        blockIdx = dim3(b % grid.x, b / grid.x % grid.y, b / grid.x / grid.y);
        run_block(shared);
    }
}
