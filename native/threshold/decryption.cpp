#include "threshold/decryption.hpp"

#include <stdexcept>
#include <utility>

#include "ckks/composition.hpp"

namespace strongroom::threshold {

using ring::Form;
using ring::Polynomial;

std::vector<std::uint64_t> residues_at(const Polynomial& polynomial,
                                       std::span<const std::uint32_t> positions) {
    if (polynomial.form() != Form::kCoefficients) {
        throw std::invalid_argument("only coefficients have positions");
    }
    for (const std::uint32_t position : positions) {
        if (position >= polynomial.degree()) throw std::invalid_argument("no such coefficient");
    }
    std::vector<std::uint64_t> residues;
    residues.reserve(polynomial.limbs() * positions.size());
    for (std::size_t row = 0; row < polynomial.limbs(); ++row) {
        for (const std::uint32_t position : positions) {
            residues.push_back(polynomial.row(row)[position]);
        }
    }
    return residues;
}

std::vector<std::uint64_t> decryption_share(const ckks::Parameters& parameters,
                                            std::span<const KeyPart* const> parts, Polynomial c1,
                                            std::span<const std::uint32_t> positions,
                                            double log_sigma) {
    if (parts.empty()) throw std::invalid_argument("no parts to answer for");
    for (const KeyPart* part : parts) {
        if (part->values().ring_pointer() != parameters.ring()) {
            throw std::invalid_argument("a part of a key of other parameters");
        }
    }
    if (c1.ring_pointer() != parameters.ring() || c1.form() != Form::kCoefficients) {
        throw std::invalid_argument("a second polynomial over another ring or in another form");
    }
    for (const std::uint32_t position : positions) {
        if (position >= c1.degree()) throw std::invalid_argument("no such coefficient");
    }
    // Sampled first: nothing that is not smudged exists if the system gives no randomness.
    const ring::Flood smudging = ring::sample_flood(positions.size(), log_sigma);
    Polynomial key(parameters.ring(), c1.limbs(), Form::kValues);
    for (const KeyPart* part : parts) {
        for (std::size_t row = 0; row < key.rows(); ++row) {
            key.ring().kernel().add(key.row(row), key.row(row), part->values().row(row),
                                    key.degree(), key.modulus(row));
        }
    }
    c1.to_values();
    c1.multiply(key);
    key.wipe_all();
    c1.to_coefficients();
    ring::add_flood(c1, positions, smudging);
    std::vector<std::uint64_t> share = residues_at(c1, positions);
    c1.wipe_all();  // divided by the public c1, what is not smudged is the key
    return share;
}

ckks::Plaintext decrypt_raw_jointly(const ckks::Ciphertext& ciphertext,
                                    std::span<const KeyPart* const> parts) {
    const Polynomial c1 = ciphertext.c1.in_values();
    Polynomial message = ciphertext.c0.in_values();
    for (const KeyPart* part : parts) message.multiply_add(c1, part->values());
    message.to_coefficients();
    return ckks::Plaintext{std::move(message)};
}

std::vector<double> sum_centred(const ckks::Parameters& parameters, std::size_t limbs,
                                std::size_t count,
                                std::span<const std::span<const std::uint64_t>> summands,
                                double scale) {
    const ring::Ring& ring = *parameters.ring();
    if (limbs == 0 || limbs > ring.limbs() || count > ring.degree()) {
        throw std::invalid_argument("a result has at least one prime, and at most N coefficients");
    }
    const std::size_t padded = (count + 7) / 8 * 8;
    ring::Secret<std::uint64_t> sums(limbs * padded);
    for (const std::span<const std::uint64_t> words : summands) {
        if (words.size() != limbs * count) {
            throw std::invalid_argument("a share of another number of words");
        }
        for (std::size_t row = 0; row < limbs; ++row) {
            const ring::Modulus& m = ring.modulus(row);
            for (std::size_t k = 0; k < count; ++k) {
                const std::uint64_t word = words[row * count + k];
                if (word >= m.value) throw std::invalid_argument("a word is not below its prime");
                std::uint64_t& sum = sums[row * padded + k];
                sum = ring::add_mod(sum, word, m);
            }
        }
    }
    std::vector<const std::uint64_t*> rows;
    for (std::size_t row = 0; row < limbs; ++row) rows.push_back(sums.data() + row * padded);
    std::vector<double> result(padded);
    ckks::Composition(ring, limbs, scale)(result.data(), rows, padded);
    result.resize(count);
    return result;
}

}  // namespace strongroom::threshold
