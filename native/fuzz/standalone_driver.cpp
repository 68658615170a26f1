// Runs a fuzz target on a bounded number of pseudo-random inputs, without libFuzzer. Usage:
// `unpack_fuzz_standalone [inputs] [seed]`.
//
// Inputs are made to get past the first check: half of them are a plausible head (a short modulus,
// a small count) with as many bytes as it asks for, the others noise; then some bits flip.
#include <bit>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

int main(int argc, char** argv) {
    const unsigned long runs = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 200000;
    const unsigned long seed = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 1;
    std::mt19937_64 generator(seed);
    std::vector<std::uint8_t> input;
    for (unsigned long run = 0; run < runs; ++run) {
        input.resize(generator() % 300);
        for (auto& byte : input) byte = static_cast<std::uint8_t>(generator());
        if (run % 2 == 0) {
            const std::uint64_t modulus = (generator() >> (generator() % 64)) | 1;
            const auto count = static_cast<std::uint16_t>(generator() % 100);
            const auto bits = static_cast<unsigned>(std::bit_width(modulus));
            input.resize(10 + (std::size_t{count} * bits + 7) / 8 + (generator() % 16 == 0));
            std::memcpy(input.data(), &modulus, 8);
            std::memcpy(input.data() + 8, &count, 2);
            // Low words are accepted, so that the way out is taken too.
            if (generator() % 2 == 0) std::memset(input.data() + 10, 0, input.size() - 10);
        }
        if (run % 4 == 1) {
            // Pairs of bits that are seldom 3, as many as a secret key of the target has.
            input.resize(16);
            for (auto& byte : input) byte = static_cast<std::uint8_t>(byte & 0x55);
        }
        if (run % 4 == 3) {
            // A head, and seldom set bits: as many as a switching key of the target has with one
            // prime, two or three, most of them below their primes.
            constexpr std::size_t kLengths[] = {32, 96, 198};
            const std::size_t limbs = generator() % 3;
            input.assign(35 + kLengths[limbs], 0);
            for (std::uint64_t bits = generator() % 64; bits-- > 0;) {
                const std::uint64_t bit = generator() % (8 * input.size());
                input[bit / 8] = static_cast<std::uint8_t>(input[bit / 8] | (1u << (bit % 8)));
            }
            input[0] = static_cast<std::uint8_t>(limbs);
        }
        if (run % 8 == 7) {
            // The same for parts of keys, shares, and keys with both halves: of 32, 48 or 66 bytes
            // a polynomial.
            constexpr std::size_t kLengths[] = {32, 48, 66};
            const std::size_t limbs = generator() % 3 + 1;
            const std::size_t kind = generator() % 3;
            const std::size_t count = kind == 1 ? generator() % 4 : 2 * limbs;
            input.assign(3 + (kind == 0 ? 1 + kLengths[2] : count * kLengths[limbs - 1]), 0);
            for (std::uint64_t bits = generator() % 64; bits-- > 0;) {
                const std::uint64_t bit = generator() % (8 * input.size());
                input[bit / 8] = static_cast<std::uint8_t>(input[bit / 8] | (1u << (bit % 8)));
            }
            input[0] = static_cast<std::uint8_t>(kind);
            input[1] = static_cast<std::uint8_t>(limbs);
            input[2] = static_cast<std::uint8_t>(count);
            if (kind == 0) input[3] = 2;
        }
        for (std::uint64_t flips = generator() % 4; flips-- > 0 && !input.empty();) {
            const std::uint64_t bit = generator() % (8 * input.size());
            input[bit / 8] = static_cast<std::uint8_t>(input[bit / 8] ^ (1u << (bit % 8)));
        }
        LLVMFuzzerTestOneInput(input.data(), input.size());
    }
    std::printf("%lu inputs\n", runs);
}
