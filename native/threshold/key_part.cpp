#include "threshold/key_part.hpp"

#include <stdexcept>
#include <utility>

#include "ring/parallel.hpp"
#include "threshold/polynomial_bytes.hpp"

namespace strongroom::threshold {

using ring::Polynomial;

namespace {

constexpr std::uint8_t kFresh = 1;
constexpr std::uint8_t kShifted = 2;

void expand_row(const ring::Ring& ring, std::size_t prime, const ring::Seed& seed,
                std::uint64_t* out) {
    ring::expand_uniform_row(ring, prime, seed, ring::Purpose::kKeyPart, 0, out);
}

}  // namespace

KeyPart KeyPart::generate(const ckks::Parameters& parameters) {
    return KeyPart(ckks::SecretKey::generate(parameters));
}

KeyPart KeyPart::from_bytes(const ckks::Parameters& parameters,
                            std::span<const std::uint8_t> bytes) {
    if (bytes.empty() || (bytes[0] != kFresh && bytes[0] != kShifted)) {
        throw std::invalid_argument("a part of a key in no known encoding");
    }
    const std::span<const std::uint8_t> body = bytes.subspan(1);
    if (bytes[0] == kFresh) return KeyPart(ckks::SecretKey::from_bytes(parameters, body));
    const ring::Ring& ring = *parameters.ring();
    constexpr auto kExtent = ring::Extent::kWithSpecial;
    if (body.size() != packed_bytes(ring, ring.limbs(), kExtent)) {
        throw std::invalid_argument("a part of a key of another length");
    }
    // Made before it is filled, so that it is wiped whatever happens.
    KeyPart part(Polynomial::unset(parameters.ring(), ring.limbs(), ring::Form::kValues, kExtent));
    if (unpack_into(std::get<Polynomial>(part.secret_), body)) {
        throw std::invalid_argument("a part of a key that is not below its primes");
    }
    return part;
}

std::vector<std::uint8_t> KeyPart::to_bytes() const {
    std::vector<std::uint8_t> bytes;
    if (const auto* fresh = std::get_if<ckks::SecretKey>(&secret_)) {
        std::vector<std::uint8_t> body = fresh->to_bytes();
        bytes.reserve(1 + body.size());
        bytes.push_back(kFresh);
        bytes.insert(bytes.end(), body.begin(), body.end());
        ring::wipe(body.data(), body.size());
        return bytes;
    }
    const Polynomial& values = std::get<Polynomial>(secret_);
    // All at once: what a vector grows out of is not wiped.
    bytes.reserve(1 + packed_bytes(values.ring(), values.limbs(), values.extent()));
    bytes.push_back(kShifted);
    append_packed(bytes, values);
    return bytes;
}

KeyPart KeyPart::expanded(const ckks::Parameters& parameters, const ring::Seed& seed) {
    const ring::Ring& ring = *parameters.ring();
    KeyPart part(Polynomial::unset(parameters.ring(), ring.limbs(), ring::Form::kValues,
                                   ring::Extent::kWithSpecial));
    auto& result = std::get<Polynomial>(part.secret_);
    ring::parallel_for(result.rows(), [&](std::size_t row) {
        expand_row(ring, result.prime(row), seed, result.row(row));
    });
    return part;
}

KeyPart KeyPart::shifted(std::span<const ring::Seed> add,
                         std::span<const ring::Seed> subtract) const {
    KeyPart part{Polynomial(values())};
    auto& result = std::get<Polynomial>(part.secret_);
    const ring::Ring& ring = result.ring();
    ring::parallel_for(result.rows(), [&](std::size_t row) {
        const std::size_t prime = result.prime(row);
        ring::Secret<std::uint64_t> expanded(ring.degree());
        const auto expand = [&](const ring::Seed& seed) {
            expand_row(ring, prime, seed, expanded.data());
            return expanded.data();
        };
        std::uint64_t* words = result.row(row);
        for (const ring::Seed& seed : add) {
            ring.kernel().add(words, words, expand(seed), ring.degree(), result.modulus(row));
        }
        for (const ring::Seed& seed : subtract) {
            ring.kernel().subtract(words, words, expand(seed), ring.degree(), result.modulus(row));
        }
    });
    return part;
}

KeyPart::~KeyPart() {
    if (auto* shifted = std::get_if<Polynomial>(&secret_)) shifted->wipe_all();
}

const Polynomial& KeyPart::values() const {
    if (const auto* fresh = std::get_if<ckks::SecretKey>(&secret_)) return fresh->values();
    return std::get<Polynomial>(secret_);
}

}  // namespace strongroom::threshold
