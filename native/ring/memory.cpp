#include "ring/memory.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>

#if defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>
#endif

#if defined(__SANITIZE_ADDRESS__)
#define STRONGROOM_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#define STRONGROOM_ADDRESS_SANITIZER __has_feature(address_sanitizer)
#else
#define STRONGROOM_ADDRESS_SANITIZER 0
#endif

namespace strongroom::ring {

namespace {

constexpr std::size_t kCacheLine = 64;
constexpr std::size_t kHugePage = std::size_t{1} << 21;
constexpr std::size_t kSmallestKept = std::size_t{1} << 12;
constexpr std::size_t kMostBytesKept = std::size_t{256} << 20;

// Large blocks begin at a huge page, so that few entries of the processor's address cache cover
// them.
std::align_val_t alignment(std::size_t bytes) {
    return std::align_val_t{bytes >= kHugePage ? kHugePage : kCacheLine};
}

void* new_block(std::size_t bytes) {
    void* memory = ::operator new(bytes, alignment(bytes));
#if defined(__linux__)
    if (bytes >= kHugePage) static_cast<void>(madvise(memory, bytes, MADV_HUGEPAGE));
#endif
    return memory;
}

void delete_block(void* memory, std::size_t bytes) noexcept {
    ::operator delete(memory, alignment(bytes));
}

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
    std::array<Block, 256> blocks{};
    std::size_t count = 0;
    std::size_t bytes = 0;

    void* take(std::size_t wanted) {
        for (std::size_t i = count; i-- > 0;) {
            if (blocks[i].bytes != wanted) continue;
            return remove(i).memory;
        }
        return nullptr;
    }

    // The oldest go where room is needed.
    bool keep(void* memory, std::size_t size) {
        if (size > kMostBytesKept) return false;
        while (count == blocks.size() || bytes + size > kMostBytesKept) {
            const Block oldest = remove(0);
            delete_block(oldest.memory, oldest.bytes);
        }
        blocks[count++] = {memory, size};
        bytes += size;
        return true;
    }

    Block remove(std::size_t i) {
        const Block removed = blocks[i];
        std::copy(blocks.begin() + static_cast<std::ptrdiff_t>(i) + 1,
                  blocks.begin() + static_cast<std::ptrdiff_t>(count),
                  blocks.begin() + static_cast<std::ptrdiff_t>(i));
        --count;
        bytes -= removed.bytes;
        return removed;
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
                delete_block(kept->blocks[i].memory, kept->blocks[i].bytes);
            }
        }
    }
};

thread_local KeptByThread kept_by_thread;

Kept* kept_blocks(std::size_t bytes, bool secret) {
#if STRONGROOM_ADDRESS_SANITIZER
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
    void* memory = new_block(bytes);
    if (secret) lock_pages(memory, bytes);
    return memory;
}

void give_block(void* block, std::size_t bytes, bool secret) noexcept {
    Kept* kept = kept_blocks(bytes, secret);
    if (kept == nullptr || !kept->keep(block, bytes)) delete_block(block, bytes);
}

}  // namespace strongroom::ring
