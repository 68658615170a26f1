// Keys of several parts: made together, used as ordinary ones, decrypted together, refreshed; with
// every kernel.
#include <algorithm>
#include <array>
#include <cmath>
#include <complex>
#include <stdexcept>

#include "check.hpp"
#include "ckks/evaluation.hpp"
#include "ckks/products.hpp"
#include "ckks/switching_key_bytes.hpp"
#include "primes.hpp"
#include "threshold/decryption.hpp"
#include "threshold/polynomial_bytes.hpp"
#include "threshold/relinearisation.hpp"
#include "threshold/share_proof.hpp"

using namespace strongroom;
using namespace strongroom::tests;
using threshold::KeyPart;
using threshold::RelinearisationRound;
using threshold::Share;

namespace {

using Slots = std::vector<std::complex<double>>;
using Bytes = std::vector<std::uint8_t>;

constexpr double kScale = 0x1p40;
constexpr double kClose = 0x1p-16;

Slots random_slots(Generator& generator, std::size_t n) {
    std::uniform_real_distribution<double> uniform(-1, 1);
    Slots slots(n);
    for (auto& slot : slots) slot = {uniform(generator), uniform(generator)};
    return slots;
}

double distance(const Slots& a, const Slots& b) {
    double largest = 0;
    for (std::size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
    return largest;
}

ckks::Parameters switching(std::string_view kernel, std::size_t n) {
    const std::vector<std::uint64_t> primes = chain(n, {50, 40, 40, 45, 45});
    return ckks::Parameters::without_security(
        {n, {primes.begin(), primes.begin() + 3}, {primes.begin() + 3, primes.end()}, ""}, kernel);
}

std::vector<const KeyPart*> pointers(const std::vector<KeyPart>& parts) {
    std::vector<const KeyPart*> result;
    for (const KeyPart& part : parts) result.push_back(&part);
    return result;
}

// The sum of shares as they travel, and that its words are residues.
Share sum_of(const ckks::Parameters& parameters, std::size_t limbs, std::size_t polynomials,
             const std::vector<Bytes>& shares) {
    const std::vector<std::span<const std::uint8_t>> spans(shares.begin(), shares.end());
    Share sum = std::get<Share>(threshold::sum_of_shares(parameters, limbs, polynomials, spans));
    for (const ring::Polynomial& polynomial : sum) {
        for (std::size_t row = 0; row < polynomial.rows(); ++row) {
            const std::uint64_t* words = polynomial.row(row);
            CHECK(std::all_of(words, words + polynomial.degree(), [&](std::uint64_t word) {
                return word < polynomial.modulus(row).value;
            }));
        }
    }
    return sum;
}

Share sum_of(const ckks::Parameters& parameters, std::size_t limbs,
             const std::vector<Share>& shares) {
    std::vector<Bytes> packed;
    for (const Share& share : shares) packed.push_back(threshold::pack_share(share));
    return sum_of(parameters, limbs, shares[0].size(), packed);
}

// Adds a constant to a polynomial modulo the primes of rows `begin` to `end`.
Share shifted(Share share, std::uint64_t constant, std::size_t begin, std::size_t end) {
    for (std::size_t row = begin; row < end; ++row) {
        std::uint64_t* words = share[0].row(row);
        for (std::size_t i = 0; i < share[0].degree(); ++i) {
            words[i] = ring::add_mod(words[i], constant, share[0].modulus(row));
        }
    }
    return share;
}

struct Keys {
    ckks::PublicKey encryption;
    ckks::SwitchingKey turn;
    ring::Words product_words;
    ckks::SwitchingKey product;
};

Keys make_keys(const ckks::Parameters& parameters, const std::vector<KeyPart>& parts,
               std::size_t limbs) {
    const ring::Seed seed = ring::random_seed();
    std::vector<Share> encryption, first, second;
    std::vector<Bytes> turn;
    std::vector<RelinearisationRound> rounds;
    for (const KeyPart& part : parts) {
        encryption.push_back(threshold::public_key_share(parameters, part, seed, limbs));
        turn.push_back(ckks::pack_switching_key(
            threshold::galois_key_share(parameters, part, seed, 5, limbs)));
        auto [round, share] = RelinearisationRound::begin(parameters, part, seed, limbs);
        rounds.push_back(std::move(round));
        first.push_back(std::move(share));
        CHECK(threshold::is_public_key_share_of(parameters, part, seed, encryption.back()));
        // An error that is too large, and one that is another modulo one prime than the others.
        const std::size_t rows = encryption.back()[0].rows();
        CHECK(!threshold::is_public_key_share_of(parameters, part, seed,
                                                 shifted(encryption.back(), 59, 0, rows)));
        for (std::size_t row = 0; row < rows; ++row) {
            CHECK(!threshold::is_public_key_share_of(parameters, part, seed,
                                                     shifted(encryption.back(), 1, row, row + 1)));
        }
        CHECK(!threshold::is_public_key_share_of(parameters, part, ring::random_seed(),
                                                 encryption.back()));
        CHECK(!threshold::is_public_key_share_of(
            parameters, part, seed,
            {ring::expand_uniform(parameters.ring(), limbs, seed, ring::Purpose::kPublicKey, 1,
                                  ring::Extent::kWithSpecial)}));
    }
    const Share first_sum = sum_of(parameters, limbs, first);
    for (std::size_t i = 0; i < parts.size(); ++i) {
        Share other(first_sum.begin(), first_sum.end() - 1);
        THROWS(rounds[i].finish(parts[i], other), std::invalid_argument);
        second.push_back(rounds[i].finish(parts[i], first_sum));
        THROWS(rounds[i].finish(parts[i], first_sum), std::logic_error);
    }
    ring::Words words = threshold::collective_relinearisation_key(
        parameters, first_sum, sum_of(parameters, limbs, second));
    ckks::SwitchingKey product(parameters, ckks::kRelinearisation, limbs, words);
    auto encryption_key =
        threshold::collective_public_key(parameters, seed, sum_of(parameters, limbs, encryption));
    auto turn_key = threshold::collective_galois_key(
        parameters, seed, 5,
        sum_of(parameters, limbs, threshold::digits_of(parameters, limbs), turn));
    return {std::move(encryption_key), std::move(turn_key), std::move(words), std::move(product)};
}

void keys_of_parts_are_keys(std::string_view kernel, std::size_t n, std::size_t count) {
    const ckks::Parameters parameters = switching(kernel, n);
    std::vector<KeyPart> parts;
    for (std::size_t i = 0; i < count; ++i) parts.push_back(KeyPart::generate(parameters));
    Generator generator(n + count);
    const Slots x = random_slots(generator, n / 2);
    Slots turned(n / 2), squared(n / 2);
    for (std::size_t i = 0; i < n / 2; ++i) {
        turned[i] = x[(i + 1) % (n / 2)];
        squared[i] = x[i] * x[i];
    }
    const auto opened = [&](const ckks::Ciphertext& result, std::vector<const KeyPart*> by,
                            double scale) {
        return ckks::decode_slots(parameters, threshold::decrypt_raw_jointly(result, by), scale);
    };
    for (const std::size_t limbs : {3, 2}) {
        const Keys keys = make_keys(parameters, parts, limbs);
        const auto plain = ckks::encode_slots(parameters, x, kScale, limbs, ring::Form::kValues);
        const auto ciphertext = ckks::encrypt_public(parameters, plain, keys.encryption);
        const std::vector<const KeyPart*> all = pointers(parts);
        CHECK(distance(opened(ciphertext, all, kScale), x) < kClose);
        CHECK(distance(
                  opened(ckks::apply_automorphism(parameters, ciphertext, keys.turn), all, kScale),
                  turned) < kClose);
        const std::array one = {&ciphertext};
        const auto product = ckks::sum_of_products(parameters, one, one, keys.product, 0);
        CHECK(limbs == 2 || distance(opened(product, all, kScale * kScale), squared) < kClose);
        for (std::size_t left_out = 0; left_out < count; ++left_out) {
            std::vector<const KeyPart*> others = all;
            others.erase(others.begin() + static_cast<std::ptrdiff_t>(left_out));
            CHECK(distance(opened(ciphertext, others, kScale), x) > 1);
        }
    }
    THROWS(threshold::galois_key_share(parameters, parts[0], ring::random_seed(), 0, 3),
           std::invalid_argument);
    THROWS(threshold::galois_key_share(parameters, parts[0], ring::random_seed(), 4, 3),
           std::invalid_argument);
    THROWS(RelinearisationRound::begin(parameters, parts[0], ring::random_seed(), 4),
           std::invalid_argument);
    const ckks::Parameters others = switching(kernel, n);
    for (const std::size_t limbs : {0, 4}) {
        THROWS(threshold::public_key_share(parameters, parts[0], ring::random_seed(), limbs),
               std::invalid_argument);
    }
    THROWS(threshold::public_key_share(others, parts[0], ring::random_seed(), 3),
           std::invalid_argument);
    THROWS(threshold::galois_key_share(others, parts[0], ring::random_seed(), 5, 3),
           std::invalid_argument);
    THROWS(RelinearisationRound::begin(others, parts[0], ring::random_seed(), 3),
           std::invalid_argument);
}

void shares_decrypt_at_positions(std::string_view kernel, std::size_t n) {
    const ckks::Parameters parameters = switching(kernel, n);
    std::vector<KeyPart> parts;
    for (int i = 0; i < 4; ++i) parts.push_back(KeyPart::generate(parameters));
    const ring::Seed seed = ring::random_seed();
    // The second part of them are refreshed: each pair of neighbours agreed on a seed.
    std::vector<KeyPart> fresh;
    const std::array seeds = {ring::random_seed(), ring::random_seed(), ring::random_seed(),
                              ring::random_seed()};
    for (std::size_t i = 0; i < 4; ++i) {
        const std::array<ring::Seed, 1> add = {seeds[i]};
        const std::array<ring::Seed, 1> subtract = {seeds[(i + 1) % 4]};
        const KeyPart shifted = parts[i].shifted(add, subtract);
        fresh.push_back(KeyPart::from_bytes(parameters, shifted.to_bytes()));
        CHECK(fresh[i].to_bytes() == shifted.to_bytes());
    }
    std::vector<Share> shares;
    for (const KeyPart& part : fresh) {
        shares.push_back(threshold::public_key_share(parameters, part, seed, 3));
    }
    const auto key =
        threshold::collective_public_key(parameters, seed, sum_of(parameters, 3, shares));
    std::vector<double> values(n);
    for (std::size_t i = 0; i < n; ++i) values[i] = static_cast<double>(i) - 7.5;
    const auto plain = ckks::encode_coefficients(parameters, values, kScale, 2);
    const ckks::Ciphertext result = ckks::encrypt_public(parameters, plain, key);
    const std::vector<std::uint32_t> positions = {0, static_cast<std::uint32_t>(n - 1), 3};
    const auto answered = [&](std::vector<const KeyPart*> first, std::vector<const KeyPart*> second,
                              double log_sigma) {
        std::vector<std::vector<std::uint64_t>> words = {
            threshold::residues_at(result.c0, positions),
            threshold::decryption_share(parameters, first, result.c1, positions, log_sigma),
            threshold::decryption_share(parameters, second, result.c1, positions, log_sigma)};
        const std::vector<std::span<const std::uint64_t>> spans(words.begin(), words.end());
        const auto centred = threshold::sum_centred(parameters, 2, 3, spans, kScale);
        double largest = 0;
        for (std::size_t k = 0; k < 3; ++k) {
            largest = std::max(largest, std::fabs(centred[k] - values[positions[k]]));
        }
        return largest;
    };
    for (const auto* set : {&parts, &fresh}) {
        const std::vector<KeyPart>& p = *set;
        CHECK(answered({&p[0]}, {&p[1], &p[2], &p[3]}, 20) < 0x1p-15);
        CHECK(answered({&p[2], &p[1]}, {&p[0], &p[3]}, 36) < 1);
        CHECK(answered({&p[2], &p[1]}, {&p[3]}, 20) > 1);
    }
    CHECK(answered({&parts[0], &parts[1]}, {&fresh[2], &fresh[3]}, 20) > 1);
    CHECK(answered({&fresh[0], &parts[1]}, {&fresh[2], &fresh[3]}, 20) > 1);

    const std::array one = {&parts[0]};
    const std::vector<std::uint32_t> outside = {static_cast<std::uint32_t>(n)};
    THROWS(threshold::decryption_share(parameters, one, result.c1, outside, 1),
           std::invalid_argument);
    THROWS(threshold::decryption_share(parameters, one, result.c1, positions, 100.5),
           std::invalid_argument);
    THROWS(threshold::decryption_share(parameters, {}, result.c1, positions, 1),
           std::invalid_argument);
    THROWS(threshold::decryption_share(parameters, one, result.c1.in_values(), positions, 1),
           std::invalid_argument);
    THROWS(threshold::residues_at(result.c0, outside), std::invalid_argument);
    std::vector<std::uint64_t> words(6, 0);
    const auto summed = [&](std::size_t limbs, std::size_t count) {
        const std::span<const std::uint64_t> span = words;
        return threshold::sum_centred(parameters, limbs, count, std::span(&span, 1), 1);
    };
    CHECK(summed(2, 3) == std::vector<double>(3, 0.0));
    THROWS(summed(3, 3), std::invalid_argument);
    THROWS(summed(4, 1), std::invalid_argument);
    THROWS(summed(0, 0), std::invalid_argument);
    words[5] = parameters.ring()->modulus(1).value;
    THROWS(summed(2, 3), std::invalid_argument);
}

void shares_are_proved(std::string_view kernel, std::size_t n) {
    const ckks::Parameters parameters = switching(kernel, n);
    const KeyPart part = KeyPart::generate(parameters), other = KeyPart::generate(parameters);
    const std::array one = {&part};
    const std::array seeds = {ring::random_seed(), ring::random_seed()};
    const threshold::Samples a = threshold::public_polynomials(parameters, seeds, 3);
    threshold::Samples b;
    for (std::size_t i = 0; i < threshold::kSamples; ++i) {
        const Share share = threshold::public_key_share(parameters, part, seeds[i], 3);
        b[i] = ring::Polynomial::unset(parameters.ring(), 3, ring::Form::kValues);
        for (std::size_t row = 0; row < 3; ++row) {
            std::copy_n(share[0].row(row), n, b[i].row(row));
        }
    }
    CHECK(threshold::are_samples_of(one, a, b, 29));
    CHECK(!threshold::are_samples_of(std::array{&other}, a, b, 29));
    THROWS(threshold::are_samples_of(one, a, b, std::uint64_t{1} << 45), std::invalid_argument);
    const std::vector<std::uint32_t> positions = {0, static_cast<std::uint32_t>(n - 1), 3};
    for (const std::size_t limbs : {1, 2}) {
        ring::Polynomial c1 = ring::expand_uniform(parameters.ring(), limbs, ring::random_seed(),
                                                   ring::Purpose::kCiphertext);
        c1.to_coefficients();
        const double log_sigma = limbs == 1 ? 20 : 50;
        std::vector<std::uint64_t> w =
            threshold::decryption_share(parameters, one, c1, positions, log_sigma);
        const threshold::ShareRelation relation(parameters, a, c1, positions, log_sigma, 29, 18);
        const threshold::ShareProver prover(relation, one, b, w);
        std::size_t answered = 0;
        for (int i = 0; i < 20; ++i) {
            const ring::Seed seed = ring::random_seed();
            const auto answer = prover.answer(seed);
            if (!answer) continue;
            ++answered;
            CHECK(answer->size() == relation.answer_bytes());
            CHECK(relation.commitment(*answer, b, w) == relation.commitment(seed));
            CHECK(relation.commitment(ring::random_seed()) != relation.commitment(seed));
            CHECK(!relation.commitment({answer->data(), answer->size() - 1}, b, w));
        }
        CHECK(answered > 0);
        THROWS(threshold::ShareProver(relation, std::array{&other}, b, w), std::invalid_argument);
        w[0] = (w[0] + 1000003) % parameters.ring()->modulus(0).value;
        if (limbs == 2) {
            THROWS(threshold::ShareProver(relation, one, b, w), std::invalid_argument);
        }
        w.pop_back();
        THROWS(threshold::ShareProver(relation, one, b, w), std::invalid_argument);
        const auto made = [&](double sigma, std::uint64_t bound, unsigned log_mask) {
            return threshold::ShareRelation(parameters, a, c1, positions, sigma, bound, log_mask);
        };
        THROWS(made(99, 29, 18), std::invalid_argument);
        THROWS(made(20, 29, 4), std::invalid_argument);
        THROWS(made(20, 29, 63), std::invalid_argument);
    }
}

void malformed_bytes_are_refused(std::size_t n) {
    const ckks::Parameters parameters = switching("portable", n);
    KeyPart part = KeyPart::generate(parameters);
    const Bytes ternary = part.to_bytes();
    const Bytes uniform = part.shifted({}, {}).to_bytes();
    CHECK(ternary.size() == 1 + n / 4 && ternary[0] == 1 && uniform[0] == 2);
    for (const Bytes* good : {&ternary, &uniform}) {
        CHECK(KeyPart::from_bytes(parameters, *good).to_bytes() == *good);
        for (const std::uint8_t encoding : {0, 3, 255}) {
            Bytes bytes = *good;
            bytes[0] = encoding;
            THROWS(KeyPart::from_bytes(parameters, bytes), std::invalid_argument);
        }
        Bytes bytes = *good;
        bytes.push_back(0);
        THROWS(KeyPart::from_bytes(parameters, bytes), std::invalid_argument);
        for (const std::size_t length : {std::size_t{0}, std::size_t{1}, good->size() - 1}) {
            THROWS(KeyPart::from_bytes(parameters, {good->data(), length}), std::invalid_argument);
        }
        std::fill(bytes.begin() + 1, bytes.end(), 0xff);
        bytes.pop_back();
        THROWS(KeyPart::from_bytes(parameters, bytes), std::invalid_argument);
    }
    const Share share = threshold::public_key_share(parameters, part, ring::random_seed(), 2);
    const Bytes good = threshold::pack_share(share);
    CHECK(good.size() == threshold::packed_share_bytes(parameters, 2, 1));
    Bytes large(good.size(), 0xff);
    const auto fault_of = [&](const Bytes& first, const Bytes& second) {
        const std::array<std::span<const std::uint8_t>, 2> both = {first, second};
        return std::get<threshold::ShareFault>(threshold::sum_of_shares(parameters, 2, 1, both));
    };
    CHECK(fault_of(good, large).share == 1);
    CHECK(fault_of(good, large).fault == ring::UnpackFault::kRange);
    CHECK(fault_of(large, good).share == 0);
    large.pop_back();
    CHECK(fault_of(good, large).fault == ring::UnpackFault::kLength);
    CHECK(fault_of({}, good).share == 0);
    THROWS(threshold::sum_of_shares(parameters, 2, 1, {}), std::invalid_argument);
}

}  // namespace

int main() {
    for (const auto kernel : ring::available_kernels()) {
        for (const std::size_t n : {64, 1024}) {
            for (const std::size_t count : {1, 2, 5}) keys_of_parts_are_keys(kernel, n, count);
            shares_decrypt_at_positions(kernel, n);
            shares_are_proved(kernel, n);
        }
    }
    malformed_bytes_are_refused(64);
}
