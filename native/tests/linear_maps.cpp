// Linear maps of random shapes with every kernel, against sums of slots, on more threads than rows;
// and what a map refuses.
#include <algorithm>
#include <array>
#include <complex>
#include <limits>
#include <stdexcept>
#include <utility>

#include "check.hpp"
#include "ckks/encoding.hpp"
#include "ckks/linear_transform.hpp"
#include "primes.hpp"
#include "ring/parallel.hpp"

using namespace strongroom;
using namespace strongroom::tests;

namespace {

using Slots = std::vector<std::complex<double>>;
using Keys = std::vector<const ckks::SwitchingKey*>;

constexpr double kInputScale = 0x1p20;
constexpr double kDiagonalScale = 0x1p22;
constexpr double kClose = 0.05;  // a slot in the wrong place is off by about 1
constexpr std::size_t kMostSteps = 4;

// `repeats` times over.
Slots random_slots(Generator& generator, std::size_t count, std::size_t repeats = 1) {
    std::uniform_real_distribution<double> uniform(-1, 1);
    Slots slots(count);
    for (std::size_t i = 0; i < count; ++i) {
        slots[i] = i < count / repeats ? std::complex(uniform(generator), uniform(generator))
                                       : slots[i - count / repeats];
    }
    return slots;
}

Slots turned(const Slots& slots, std::size_t steps) {
    Slots result(slots.size());
    for (std::size_t i = 0; i < slots.size(); ++i) result[i] = slots[(i + steps) % slots.size()];
    return result;
}

void check_same(const ckks::Ciphertext& a, const ckks::Ciphertext& b) {
    const auto check = [](const ring::Polynomial& x, const ring::Polynomial& y) {
        CHECK(x.rows() == y.rows() && x.form() == y.form());
        for (std::size_t i = 0; i < x.rows(); ++i) {
            CHECK(std::equal(x.row(i), x.row(i) + x.degree(), y.row(i)));
        }
    };
    check(a.c0, b.c0);
    check(a.c1, b.c1);
}

class World {
  public:
    // The second of four data primes begins a digit, so that digits are cut short at some levels.
    World(std::string_view kernel, std::size_t n)
        : primes_(chain(n, {50, 20, 22, 21, 50, 25})),
          parameters_(ckks::Parameters::without_security(
              {n, {primes_.begin(), primes_.begin() + 4}, {primes_.begin() + 4, primes_.end()}, ""},
              kernel)),
          secret_(ckks::SecretKey::generate(parameters_)),
          relinearisation_(
              ckks::SwitchingKey::generate(parameters_, secret_, ckks::kRelinearisation, 4)),
          slots_(n / 2) {
        std::uint64_t element = 1;
        for (std::size_t steps = 1; steps <= kMostSteps && steps < slots_; ++steps) {
            element = element * 5 % (2 * n);
            keys_.push_back(ckks::SwitchingKey::generate(parameters_, secret_, element, 4));
        }
    }

    const ckks::Parameters& parameters() const { return parameters_; }
    const ckks::SwitchingKey& relinearisation() const { return relinearisation_; }
    std::size_t slots() const { return slots_; }
    std::size_t steps() const { return keys_.size(); }
    // Of a rotation; nullptr for the identity.
    const ckks::SwitchingKey* key(std::size_t steps) const {
        return steps == 0 ? nullptr : &keys_[steps - 1];
    }
    double prime(std::size_t i) const { return static_cast<double>(primes_[i]); }

    ckks::Ciphertext encrypted(const Slots& slots, double scale, std::size_t limbs) const {
        const auto plain =
            ckks::encode_slots(parameters_, slots, scale, limbs, ring::Form::kValues);
        return ckks::encrypt_symmetric(parameters_, plain, secret_).ciphertext;
    }
    ckks::Plaintext diagonal(const Slots& slots, std::size_t limbs) const {
        return ckks::encode_slots(parameters_, slots, kDiagonalScale, limbs, ring::Form::kValues,
                                  ring::Extent::kWithSpecial);
    }
    void check_holds(const ckks::Ciphertext& result, double scale, const Slots& expected) const {
        const Slots got =
            ckks::decode_slots(parameters_, ckks::decrypt_raw(result, secret_), scale);
        for (std::size_t i = 0; i < slots_; ++i) CHECK(std::abs(got[i] - expected[i]) < kClose);
    }

  private:
    std::vector<std::uint64_t> primes_;
    ckks::Parameters parameters_;
    ckks::SecretKey secret_;
    ckks::SwitchingKey relinearisation_;
    std::size_t slots_;
    std::vector<ckks::SwitchingKey> keys_;
};

// With inputs that have nothing to do with each other, steps that repeat, giant steps without
// diagonals, and diagonals of higher levels than the inputs.
void a_random_shape(const World& world, Generator& generator) {
    const auto below = [&](std::size_t bound) {
        return static_cast<std::size_t>(generator() % bound);
    };
    const std::size_t inputs = 1 + below(3), babies = 1 + below(4), giants = 1 + below(4);
    const std::size_t made_for = 1 + below(4);
    const std::size_t limbs = 1 + below(made_for);
    const std::size_t drop = below(limbs);
    const bool chained = below(2) == 0;
    unsigned log_run = 0;
    while (std::size_t{2} << log_run <= world.slots() && below(3) != 0) ++log_run;

    std::vector<std::size_t> baby_steps(babies), turns(giants), giant_steps(giants, 0);
    for (auto& step : baby_steps) step = below(world.steps() + 1);
    const std::size_t stride = 1 + below(world.steps());
    for (std::size_t i = 0; i < giants; ++i) {
        turns[i] = !chained ? below(world.steps() + 1) : i == 0 ? 0 : stride;
        giant_steps[i] = chained ? i * stride : turns[i];
    }
    std::vector<bool> present(inputs * babies * giants);
    for (std::size_t i = 0; i < present.size(); ++i) present[i] = below(2) == 0;
    present[below(present.size())] = true;

    // What is dropped takes its share of the scale along.
    double input_scale = kInputScale;
    for (std::size_t i = limbs - drop; i < limbs; ++i) input_scale *= world.prime(i);
    std::vector<Slots> vectors;
    std::vector<ckks::Ciphertext> ciphertexts;
    for (std::size_t s = 0; s < inputs; ++s) {
        vectors.push_back(random_slots(generator, world.slots()));
        ciphertexts.push_back(world.encrypted(vectors.back(), input_scale, limbs));
        if (below(3) == 0) {
            ciphertexts.back().c0.to_coefficients();
            ciphertexts.back().c1.to_coefficients();
        }
    }
    ckks::Diagonals diagonals(world.parameters(), made_for, present, log_run);
    std::vector<ckks::Ciphertext> hidden(present.size());
    std::vector<const ckks::Ciphertext*> pointers(present.size(), nullptr);
    Slots expected(world.slots());
    for (std::size_t place = 0; place < present.size(); ++place) {
        if (!present[place]) continue;
        CHECK(!diagonals.complete());
        const Slots values = random_slots(generator, world.slots(), std::size_t{1} << log_run);
        diagonals.set(place, world.diagonal(values, made_for + below(5 - made_for)));
        hidden[place] = world.encrypted(values, kDiagonalScale, made_for);
        pointers[place] = &hidden[place];
        Slots term = turned(vectors[place / babies % inputs], baby_steps[place % babies]);
        for (std::size_t i = 0; i < term.size(); ++i) term[i] *= values[i];
        term = turned(term, giant_steps[place / (inputs * babies)]);
        for (std::size_t i = 0; i < term.size(); ++i) expected[i] += term[i];
    }
    Keys baby_keys, giant_keys;
    for (const std::size_t step : baby_steps) baby_keys.push_back(world.key(step));
    for (const std::size_t step : turns) giant_keys.push_back(world.key(step));
    std::vector<const ckks::Ciphertext*> all;
    for (const ckks::Ciphertext& ciphertext : ciphertexts) all.push_back(&ciphertext);

    const auto& parameters = world.parameters();
    const ckks::PlainTransform plain{baby_keys, giant_keys, diagonals, chained};
    const ckks::EncryptedTransform encrypted{baby_keys, giant_keys, pointers, chained};
    const auto both = [&](std::size_t threads) {
        const ring::ThreadScope scope(threads);
        return std::pair{
            ckks::transform(parameters, all, plain, drop),
            ckks::transform(parameters, all, encrypted, world.relinearisation(), drop)};
    };
    const auto [of_plain, of_encrypted] = both(1);
    for (const ckks::Ciphertext* result : {&of_plain, &of_encrypted}) {
        CHECK(result->c0.limbs() == limbs - drop && result->c1.limbs() == limbs - drop);
        world.check_holds(*result, kInputScale * kDiagonalScale, expected);
    }
    for (const std::size_t threads : {2, 40}) {
        const auto [again_plain, again_encrypted] = both(threads);
        check_same(again_plain, of_plain);
        check_same(again_encrypted, of_encrypted);
    }
}

void a_rotation_and_a_sum_are_one_operation(const World& world, Generator& generator) {
    const Slots x = random_slots(generator, world.slots());
    const Slots y = random_slots(generator, world.slots());
    const double scale = kInputScale * kDiagonalScale;
    for (std::size_t limbs = 1; limbs <= 4; ++limbs) {
        const auto a = world.encrypted(x, scale, limbs);
        const auto values = world.encrypted(y, scale, limbs);
        auto coefficients = values;
        coefficients.c0.to_coefficients();
        coefficients.c1.to_coefficients();
        const auto add = [&](const ckks::Ciphertext& added) {
            return ckks::add_automorphism(world.parameters(), a, *world.key(1), added);
        };
        const auto together = add(values);
        check_same(add(coefficients), together);
        Slots expected = turned(x, 1);
        Slots twice = expected;
        for (std::size_t i = 0; i < x.size(); ++i) expected[i] += y[i], twice[i] += x[i];
        world.check_holds(together, scale, expected);
        world.check_holds(add(a), scale, twice);
        const auto other = world.encrypted(y, scale, limbs % 4 + 1);
        THROWS(add(other), std::invalid_argument);
        THROWS(add(ckks::Ciphertext{values.c0, other.c1}), std::invalid_argument);
        THROWS(ckks::add_automorphism(world.parameters(), a, world.relinearisation(), values),
               std::invalid_argument);
    }
}

void maps_that_contradict_themselves_are_refused(const World& world, const World& other) {
    Generator generator(1);
    const auto& parameters = world.parameters();
    const std::size_t n = 2 * world.slots();
    using Present = std::vector<bool>;
    const auto make = [&](std::size_t limbs, Present present, unsigned log_run) {
        return ckks::Diagonals(parameters, limbs, std::move(present), log_run);
    };
    unsigned most = 0;
    while (std::size_t{4} << most <= n) ++most;
    CHECK(make(1, {true}, most).log_run() == most);
    for (const unsigned log_run :
         {most + 1, 31u, 32u, 62u, 63u, 64u, 65u, 127u, std::numeric_limits<unsigned>::max()}) {
        THROWS(make(1, {true}, log_run), std::invalid_argument);
    }
    THROWS(make(0, {true}, 0), std::invalid_argument);
    THROWS(make(5, {true}, 0), std::invalid_argument);
    THROWS(make(1, {}, 0), std::invalid_argument);
    THROWS(make(1, {false, false}, 0), std::invalid_argument);

    const Slots values = random_slots(generator, world.slots());
    const auto whole = world.diagonal(values, 2);
    auto diagonals = make(2, {true, false, true}, 0);
    const auto data_only =
        ckks::encode_slots(parameters, values, kDiagonalScale, 2, ring::Form::kValues);
    const auto coefficients =
        ckks::encode_slots(parameters, values, kDiagonalScale, 2, ring::Form::kCoefficients,
                           ring::Extent::kWithSpecial);
    for (const std::size_t place : {std::size_t{1}, std::size_t{3}, ~std::size_t{0}}) {
        THROWS(diagonals.set(place, whole), std::invalid_argument);
    }
    THROWS(diagonals.set(0, data_only), std::invalid_argument);
    THROWS(diagonals.set(0, coefficients), std::invalid_argument);
    THROWS(diagonals.set(0, world.diagonal(values, 1)), std::invalid_argument);
    THROWS(diagonals.set(0, other.diagonal(values, 2)), std::invalid_argument);
    auto repeating = make(2, {true}, 1);
    THROWS(repeating.set(0, whole), std::invalid_argument);
    CHECK(!repeating.complete());
    repeating.set(0, world.diagonal(random_slots(generator, world.slots(), 2), 2));
    CHECK(repeating.complete());

    const auto ciphertext = world.encrypted(values, kInputScale, 2);
    const auto low = world.encrypted(values, kInputScale, 1);
    const auto high = world.encrypted(values, kInputScale, 3);
    const Keys babies = {nullptr, world.key(1), nullptr};
    const Keys one = {nullptr};
    const auto apply = [&](const ckks::Ciphertext& input, const ckks::Diagonals& its,
                           const Keys& its_babies, const Keys& its_giants, bool chained = false,
                           std::size_t drop = 0) {
        const std::array inputs = {&input};
        return ckks::transform(parameters, inputs,
                               ckks::PlainTransform{its_babies, its_giants, its, chained}, drop);
    };
    diagonals.set(0, whole);
    THROWS(apply(ciphertext, diagonals, babies, one), std::invalid_argument);  // one is missing
    diagonals.set(2, whole);
    THROWS(diagonals.set(2, whole), std::invalid_argument);  // what is complete never changes
    apply(ciphertext, diagonals, babies, one);
    apply(low, diagonals, babies, one);
    THROWS(apply(high, diagonals, babies, one), std::invalid_argument);
    THROWS(apply({ciphertext.c0, low.c1}, diagonals, babies, one), std::invalid_argument);
    THROWS(apply({ciphertext.c0, high.c1}, diagonals, babies, one), std::invalid_argument);
    THROWS(apply(other.encrypted(values, kInputScale, 2), diagonals, babies, one),
           std::invalid_argument);
    THROWS(apply(ciphertext, diagonals, one, one), std::invalid_argument);
    THROWS(apply(ciphertext, diagonals, babies, {}), std::invalid_argument);
    THROWS(apply(ciphertext, diagonals, {nullptr, &world.relinearisation(), nullptr}, one),
           std::invalid_argument);
    THROWS(apply(ciphertext, diagonals, {nullptr, other.key(1), nullptr}, one),
           std::invalid_argument);
    for (const std::size_t drop : {std::size_t{2}, ~std::size_t{0}}) {
        THROWS(apply(ciphertext, diagonals, babies, one, false, drop), std::invalid_argument);
    }
    const Keys first_turns = {world.key(1), world.key(1), world.key(1)};
    const Keys unlike = {nullptr, world.key(1), world.key(2)};
    const Keys stands_still = {nullptr, nullptr, nullptr};
    for (const Keys& giants : {first_turns, unlike, stands_still}) {
        THROWS(apply(ciphertext, diagonals, one, giants, true), std::invalid_argument);
    }
}

}  // namespace

int main() {
    for (const auto kernel : ring::available_kernels()) {
        // One slice of diagonals, one block of coefficients; several slices; several blocks.
        for (const auto& [n, shapes] :
             {std::pair{8, 30}, {16, 60}, {64, 60}, {2048, 3}, {8192, 1}}) {
            const World world(kernel, static_cast<std::size_t>(n));
            Generator generator(static_cast<std::uint64_t>(n));
            for (int shape = 0; shape < shapes; ++shape) a_random_shape(world, generator);
            a_rotation_and_a_sum_are_one_operation(world, generator);
        }
        maps_that_contradict_themselves_are_refused(World(kernel, 64), World(kernel, 64));
    }
}
