// Products, rotations, linear maps and their keys with every kernel, on one and on several threads.
#include <array>
#include <cmath>
#include <complex>
#include <stdexcept>

#include "check.hpp"
#include "ckks/encoding.hpp"
#include "ckks/evaluation.hpp"
#include "ckks/linear_transform.hpp"
#include "ckks/products.hpp"
#include "primes.hpp"
#include "ring/parallel.hpp"

using namespace strongroom;
using namespace strongroom::tests;

namespace {

using Slots = std::vector<std::complex<double>>;

constexpr double kScale = 0x1p40;
constexpr double kClose = 0x1p-20;

Slots random_slots(Generator& generator, std::size_t n) {
    std::uniform_real_distribution<double> uniform(-1, 1);
    Slots slots(n);
    for (auto& slot : slots) slot = {uniform(generator), uniform(generator)};
    return slots;
}

double distance(const Slots& a, const Slots& b) {
    CHECK(a.size() == b.size());
    double largest = 0;
    for (std::size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
    return largest;
}

void evaluation(std::string_view kernel, std::size_t n, std::size_t threads) {
    const ring::ThreadScope scope(threads);
    const std::vector<std::uint64_t> primes = chain(n, {50, 40, 40, 45, 45});
    const auto parameters = ckks::Parameters::without_security(
        {n, {primes.begin(), primes.begin() + 3}, {primes.begin() + 3, primes.end()}, ""}, kernel);
    const ckks::SecretKey secret = ckks::SecretKey::generate(parameters);
    const auto product_key = ckks::SwitchingKey::generate(parameters, secret, 0, 3);
    const auto turn_key = ckks::SwitchingKey::generate(parameters, secret, 5, 3);
    Generator generator(n);
    const Slots x = random_slots(generator, n / 2);
    const Slots d = random_slots(generator, n / 2);
    Slots turned(n / 2), squared(n / 2), mapped(n / 2);
    for (std::size_t i = 0; i < n / 2; ++i) {
        turned[i] = x[(i + 1) % (n / 2)];
        squared[i] = x[i] * x[i];
        mapped[i] = d[i] * x[i] + turned[i] * d[i];
    }
    const auto plain = ckks::encode_slots(parameters, x, kScale, 3, ring::Form::kValues);
    const ckks::Ciphertext ciphertext =
        ckks::encrypt_symmetric(parameters, plain, secret).ciphertext;
    const auto opened = [&](const ckks::Ciphertext& result, double scale) {
        return ckks::decode_slots(parameters, ckks::decrypt_raw(result, secret), scale);
    };
    const auto prime = [&](std::size_t i) { return static_cast<double>(primes[i]); };

    CHECK(distance(opened(ckks::apply_automorphism(parameters, ciphertext, turn_key), kScale),
                   turned) < kClose);
    const std::array one = {&ciphertext};
    for (const std::size_t drop : {0, 1}) {
        const auto product = ckks::sum_of_products(parameters, one, one, product_key, drop);
        const double scale = kScale * kScale / (drop == 0 ? 1.0 : prime(2));
        CHECK(distance(opened(product, scale), squared) < kClose);
    }
    const auto public_key = ckks::generate_public_key(parameters, secret, 3);
    CHECK(distance(opened(ckks::encrypt_public(parameters, plain, public_key), kScale), x) <
          kClose);

    const auto diagonal = ckks::encode_slots(parameters, d, kScale, 3, ring::Form::kValues,
                                             ring::Extent::kWithSpecial);
    const std::array<const ckks::SwitchingKey*, 2> babies = {nullptr, &turn_key};
    const std::array<const ckks::SwitchingKey*, 1> giants = {nullptr};
    ckks::Diagonals diagonals(parameters, 3, {true, true}, 0);
    diagonals.set(0, diagonal);
    diagonals.set(1, diagonal);
    const auto map =
        ckks::transform(parameters, one, ckks::PlainTransform{babies, giants, diagonals}, 1);
    CHECK(distance(opened(map, kScale * kScale / prime(2)), mapped) < kClose);
    const auto hidden =
        ckks::encrypt_symmetric(
            parameters, ckks::encode_slots(parameters, d, kScale, 3, ring::Form::kValues), secret)
            .ciphertext;
    const std::array encrypted = {&hidden, &hidden};
    const auto hidden_map = ckks::transform(
        parameters, one, ckks::EncryptedTransform{babies, giants, encrypted}, product_key, 1);
    CHECK(distance(opened(hidden_map, kScale * kScale / prime(2)), mapped) < kClose);

    THROWS(ckks::SwitchingKey::generate(parameters, secret, 4, 3), std::invalid_argument);
    THROWS(ckks::sum_of_products(parameters, one, one, turn_key, 0), std::invalid_argument);
    THROWS(ckks::apply_automorphism(parameters, ciphertext, product_key), std::invalid_argument);
}

void failures_come_out_of_threads() {
    const ring::ThreadScope scope(3);
    const auto fails = [](std::size_t i) {
        if (i == 5) throw std::invalid_argument("five");
    };
    for (int round = 0; round < 100; ++round) {
        THROWS(ring::parallel_for(9, fails), std::invalid_argument);
    }
}

}  // namespace

int main() {
    for (const auto kernel : ring::available_kernels()) {
        for (const std::size_t n : {64, 1024}) {
            for (const std::size_t threads : {1, 3}) evaluation(kernel, n, threads);
        }
    }
    failures_come_out_of_threads();
}
