#include "ring/memory.hpp"

#include <array>
#include <cstring>

#if defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>
#endif

namespace strongroom::ring {

namespace {

constexpr std::align_val_t kAlignment{64};
constexpr std::size_t kSmallestKept = std::size_t{1} << 12;
constexpr std::size_t kMostBytesKept = std::size_t{1} << 24;

// Best effort: keep pages out of swap. Limits of the system may refuse. Pages stay locked after
// release: unlocking works on whole pages, which neighbouring secrets may share.
void lock_pages(void* memory, std::size_t bytes) noexcept {
#if defined(__unix__) || defined(__APPLE__)
    static_cast<void>(mlock(memory, bytes));
#else
    static_cast<void>(memory);
    static_cast<void>(bytes);
#endif
}

// The blocks that one thread keeps, the latest last.
struct Kept {
    struct Block {
        void* memory;
        std::size_t bytes;
    };
    std::array<Block, 32> blocks{};
    std::size_t count = 0;
    std::size_t bytes = 0;

    void* take(std::size_t wanted) {
        for (std::size_t i = count; i-- > 0;) {
            if (blocks[i].bytes != wanted) continue;
            void* memory = blocks[i].memory;
            blocks[i] = blocks[--count];
            bytes -= wanted;
            return memory;
        }
        return nullptr;
    }

    bool keep(void* memory, std::size_t size) {
        if (count == blocks.size() || bytes + size > kMostBytesKept) return false;
        blocks[count++] = {memory, size};
        bytes += size;
        return true;
    }
};

// Set when a thread's blocks are gone but something on it is still being released.
thread_local bool ended = false;

struct KeptByThread {
    Kept plain, secret;
    ~KeptByThread() {
        ended = true;
        for (const Kept* kept : {&plain, &secret}) {
            for (std::size_t i = 0; i < kept->count; ++i) {
                ::operator delete(kept->blocks[i].memory, kAlignment);
            }
        }
    }
};

thread_local KeptByThread kept_by_thread;

Kept* kept_blocks(std::size_t bytes, bool secret) {
#if defined(__SANITIZE_ADDRESS__)
    return nullptr;  // a block that is kept hides its use after release from the sanitizer
#endif
    if (ended || bytes < kSmallestKept) return nullptr;
    return secret ? &kept_by_thread.secret : &kept_by_thread.plain;
}

}  // namespace

void wipe(void* memory, std::size_t bytes) noexcept {
    if (bytes == 0) return;  // of nothing, the address may be null
    std::memset(memory, 0, bytes);
    // The barrier makes the store observable, so that it is not removed as dead.
    asm volatile("" : : "r"(memory) : "memory");
}

void* take_block(std::size_t bytes, bool secret) {
    if (Kept* kept = kept_blocks(bytes, secret)) {
        if (void* memory = kept->take(bytes)) return memory;
    }
    void* memory = ::operator new(bytes, kAlignment);
    if (secret) lock_pages(memory, bytes);
    return memory;
}

void give_block(void* block, std::size_t bytes, bool secret) noexcept {
    Kept* kept = kept_blocks(bytes, secret);
    if (kept == nullptr || !kept->keep(block, bytes)) ::operator delete(block, kAlignment);
}

}  // namespace strongroom::ring
