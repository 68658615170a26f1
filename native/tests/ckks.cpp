// Keys, encryption, evaluation and decryption with every kernel, from end to end.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "check.hpp"
#include "ckks/evaluation.hpp"
#include "primes.hpp"

using namespace strongroom;
using namespace strongroom::tests;

namespace {

std::vector<double> random_values(Generator& generator, std::size_t n) {
    std::uniform_real_distribution<double> uniform(-1, 1);
    std::vector<double> values(n);
    for (double& value : values) value = uniform(generator);
    return values;
}

double distance(const std::vector<double>& a, const std::vector<double>& b) {
    CHECK(a.size() == b.size());
    double largest = 0;
    for (std::size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::fabs(a[i] - b[i]));
    return largest;
}

std::vector<double> negacyclic(const std::vector<double>& a, const std::vector<double>& b) {
    const std::size_t n = a.size();
    std::vector<double> out(n);
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j < n; ++j) {
            out[(i + j) % n] += (i + j < n ? 1 : -1) * a[i] * b[j];
        }
    }
    return out;
}

void circuit(std::string_view kernel, std::size_t n) {
    const auto parameters =
        ckks::Parameters::without_security({n, chain(n, {50, 33, 31}), {}, ""}, kernel);
    ckks::SecretKey first = ckks::SecretKey::generate(parameters);
    const ckks::SecretKey secret = std::move(first);
    const ckks::PublicKey key = ckks::generate_public_key(parameters, secret, 3);
    Generator generator(n);
    const auto row = random_values(generator, n);
    const auto weights = random_values(generator, n);
    const double scale = 0x1p40;
    const ckks::Plaintext plaintext = ckks::encode_coefficients(parameters, row, scale, 3);
    CHECK(distance(ckks::decode_coefficients(parameters, plaintext, scale), row) <= 0x1p-40);
    ckks::Plaintext factor = ckks::encode_coefficients(parameters, weights, scale, 3);
    factor.polynomial.to_values();
    const auto expected = negacyclic(row, weights);
    const auto& modulus = parameters.ring();
    const double after = scale * scale / static_cast<double>(modulus->modulus(1).value) /
                         static_cast<double>(modulus->modulus(2).value);
    const double noise = 9 * 3.2 * std::sqrt(4.0 * n / 3 + 1) * std::sqrt(n) / scale +
                         9 * std::sqrt(n / 12.0) / after;

    ckks::SeededCiphertext seeded = ckks::encrypt_symmetric(parameters, plaintext, secret);
    const ckks::Ciphertext restored =
        ckks::restore_seeded(parameters, seeded.seed, seeded.ciphertext.c0);
    const ckks::Ciphertext encrypted[] = {seeded.ciphertext, restored,
                                          ckks::encrypt_public(parameters, plaintext, key)};
    for (const ckks::Ciphertext& fresh : encrypted) {
        const auto opened =
            ckks::decode_coefficients(parameters, ckks::decrypt_raw(fresh, secret), scale);
        CHECK(distance(opened, row) <= (9 * 3.2 * std::sqrt(4.0 * n / 3 + 1) + 40) / scale);

        const ckks::Ciphertext product = ckks::rescale(ckks::multiply_plain(fresh, factor), 2);
        CHECK(product.c0.limbs() == 1);
        const auto result =
            ckks::decode_coefficients(parameters, ckks::decrypt_raw(product, secret), after);
        CHECK(distance(result, expected) <= noise);

        ckks::Ciphertext sum = product;
        ckks::add(sum, product);
        const std::vector<std::uint32_t> all = [&] {
            std::vector<std::uint32_t> positions(n);
            std::iota(positions.begin(), positions.end(), 0);
            return positions;
        }();
        const auto twice = ckks::decrypt_flooded(sum, secret, all, after, 2.0);
        for (std::size_t i = 0; i < n; ++i) {
            CHECK(std::fabs(twice[i] - 2 * expected[i]) <= 2 * noise + 40 / after);
        }

        const std::vector<std::uint32_t> declared = {static_cast<std::uint32_t>(n - 1), 0, 3};
        const auto safe = ckks::sanitise(parameters, product, key, declared, 6.0);
        std::size_t zeros = 0;
        for (std::size_t i = 0; i < n; ++i) zeros += safe.c0.row(0)[i] == 0;
        CHECK(zeros >= n - 3);
        const auto published = ckks::decrypt_flooded(safe, secret, declared, after, 6.0);
        const double flood = (2 * 9.5 * 64 + 9 * 3.2 * std::sqrt(4.0 * n / 3 + 1) + 42) / after;
        for (std::size_t i = 0; i < 3; ++i) {
            CHECK(std::fabs(published[i] - expected[declared[i]]) <= noise + flood);
        }
    }
    const std::vector<std::uint32_t> outside = {0, static_cast<std::uint32_t>(n)};
    const std::vector<std::uint32_t> repeated = {1, 1};
    THROWS(ckks::decrypt_flooded(restored, secret, outside, scale, 1.0), std::invalid_argument);
    THROWS(ckks::sanitise(parameters, restored, key, outside, 1.0), std::invalid_argument);
    THROWS(ckks::sanitise(parameters, restored, key, repeated, 1.0), std::invalid_argument);
}

void secret_keys_are_bytes(std::size_t n) {
    const auto parameters = ckks::Parameters::without_security({n, chain(n, {50}), {}, ""});
    const ckks::SecretKey secret = ckks::SecretKey::generate(parameters);
    std::vector<std::uint8_t> bytes = secret.to_bytes();
    CHECK(bytes.size() == n / 4);
    const ckks::SecretKey again = ckks::SecretKey::from_bytes(parameters, bytes);
    CHECK(again.to_bytes() == bytes);
    CHECK(std::equal(secret.values().row(0), secret.values().row(0) + n, again.values().row(0)));
    bytes[0] |= 3;
    THROWS(ckks::SecretKey::from_bytes(parameters, bytes), std::invalid_argument);
    bytes.pop_back();
    THROWS(ckks::SecretKey::from_bytes(parameters, bytes), std::invalid_argument);
    THROWS(ckks::SecretKey::from_bytes(parameters, {}), std::invalid_argument);
}

void slots_are_encoded(std::string_view kernel, std::size_t n) {
    const auto primes = chain(n, {50, 40, 45, 50, 44});
    const auto parameters = ckks::Parameters::without_security(
        {n, {primes.begin(), primes.begin() + 3}, {primes.begin() + 3, primes.end()}, ""}, kernel);
    Generator generator(n);
    std::vector<std::complex<double>> values(n / 2);
    for (auto& value : values) {
        const auto pair = random_values(generator, 2);
        value = {pair[0], pair[1]};
    }
    for (const double scale : {0x1p45, 0x1p80}) {
        for (const auto form : {ring::Form::kCoefficients, ring::Form::kValues}) {
            const auto plaintext =
                ckks::encode_slots(parameters, values, scale, 2, form, ring::Extent::kWithSpecial);
            CHECK(plaintext.polynomial.rows() == 4 && plaintext.polynomial.form() == form);
            const auto decoded = ckks::decode_slots(parameters, plaintext, scale);
            CHECK(decoded.size() == values.size());
            for (std::size_t i = 0; i < values.size(); ++i) {
                CHECK(std::abs(decoded[i] - values[i]) <= static_cast<double>(n) * 0x1p-45);
            }
        }
    }
    values.emplace_back();
    THROWS(ckks::encode_slots(parameters, values, 1.0, 2), std::invalid_argument);
}

void values_to_encode_are_checked() {
    const auto parameters = ckks::Parameters::without_security({16, chain(16, {20, 21}), {}, ""});
    const auto encode = [&](double value, double scale, std::size_t limbs) {
        const std::vector<double> values = {value, 0.0};
        return ckks::encode_coefficients(parameters, values, scale, limbs);
    };
    encode(1000, 100, 1);
    for (const double bad : {static_cast<double>(NAN), HUGE_VAL, -HUGE_VAL, 1e18, -1e300}) {
        THROWS(encode(bad, 1.0, 2), std::invalid_argument);
    }
    for (const double scale : {static_cast<double>(NAN), HUGE_VAL, -1.0, 0.0}) {
        THROWS(encode(1.0, scale, 2), std::invalid_argument);
        THROWS(encode(0.0, scale, 2), std::invalid_argument);
    }
    for (const std::size_t limbs : {std::size_t{0}, std::size_t{3}, ~std::size_t{0}}) {
        THROWS(encode(1.0, 1.0, limbs), std::invalid_argument);
    }
}

void the_table_stands_before_everything() {
    const auto refused = [](std::size_t n, std::vector<std::uint64_t> primes, const char* column) {
        THROWS(ckks::Parameters({n, std::move(primes), {}, column}), ckks::InsecureParameters);
    };
    refused(4096, chain(4096, {50, 50, 20}), "classical-128");
    refused(4096, chain(4096, {50, 35}), "quantum-128");
    refused(512, chain(512, {20}), "classical-128");
    const ckks::Parameters good({4096, chain(4096, {50, 50}), {}, "classical-128"});
    CHECK(good.limbs() == 2);
    THROWS(ckks::Parameters({4096, {}, {}, "classical-128"}), std::invalid_argument);
    THROWS(ckks::Parameters({4096, {40961}, {40961}, "classical-128"}), std::invalid_argument);
    THROWS(ckks::Parameters({4096, {40961}, {}, ""}), std::invalid_argument);
}

}  // namespace

int main() {
    for (const auto kernel : ring::available_kernels()) {
        for (const std::size_t n : {16, 64, 256, 1024}) circuit(kernel, n);
        for (const std::size_t n : {8, 16, 32, 64, 128, 4096}) slots_are_encoded(kernel, n);
    }
    for (const std::size_t n : {8, 16, 4096}) secret_keys_are_bytes(n);
    values_to_encode_are_checked();
    the_table_stands_before_everything();
}
