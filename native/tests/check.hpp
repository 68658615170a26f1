// All that a native test needs: CHECK ends the process with the place and the condition; THROWS
// asks for one kind of exception. Sanitizers do the rest.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#define CHECK(condition)                                                                 \
    do {                                                                                 \
        if (!(condition)) {                                                              \
            std::fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition); \
            std::abort();                                                                \
        }                                                                                \
    } while (false)

#define THROWS(expression, exception)    \
    do {                                 \
        bool thrown = false;             \
        try {                            \
            expression;                  \
        } catch (const exception&) {     \
            thrown = true;               \
        }                                \
        CHECK(thrown && #expression[0]); \
    } while (false)

namespace strongroom::tests {

using Generator = std::mt19937_64;
using Words = std::vector<std::uint64_t>;  // exactly as long as asked, so that an overrun is seen

inline Words random_words(Generator& generator, std::size_t n, std::uint64_t below) {
    Words words(n);
    for (auto& word : words) word = generator() % below;
    return words;
}

// 0, q - 1, both mixed, around q / 2, random.
inline std::vector<Words> extremes(Generator& generator, std::size_t n, std::uint64_t q) {
    std::vector<Words> result = {Words(n, 0), Words(n, q - 1), Words(n), Words(n),
                                 random_words(generator, n, q)};
    for (std::size_t i = 0; i < n; ++i) {
        result[2][i] = generator() % 2 * (q - 1);
        result[3][i] = q / 2 + generator() % 2;
    }
    return result;
}

}  // namespace strongroom::tests
