// Transforms and pointwise loops of every kernel against 128-bit arithmetic and each other.
#include <algorithm>
#include <bit>
#include <stdexcept>
#include <utility>

#include "check.hpp"
#include "primes.hpp"
#include "ring/kernel.hpp"
#include "ring/ring.hpp"

using namespace strongroom;
using namespace strongroom::tests;

namespace {

std::uint64_t product(std::uint64_t a, std::uint64_t b, std::uint64_t q) {
    return static_cast<std::uint64_t>(static_cast<ring::uint128>(a) * b % q);
}

Words negacyclic(const Words& a, const Words& b, std::uint64_t q) {
    const std::size_t n = a.size();
    Words out(n, 0);
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j < n; ++j) {
            const std::uint64_t term = product(a[i], b[j], q);
            std::uint64_t& sum = out[(i + j) % n];
            sum = (sum + (i + j < n ? term : q - term)) % q;
        }
    }
    return out;
}

void products_are_negacyclic(const ring::Kernel& kernel, std::size_t n, std::uint64_t q) {
    Generator generator(n);
    const ring::NttTable table(n, q);
    for (const Words& a : extremes(generator, n, q)) {
        for (const Words& b : extremes(generator, n, q)) {
            Words x = a;
            Words y = b;
            kernel.forward_ntt(x.data(), table);
            kernel.forward_ntt(y.data(), table);
            for (std::size_t i = 0; i < n; ++i) CHECK(x[i] < q && y[i] < q);
            kernel.multiply(x.data(), x.data(), y.data(), n, table.modulus);
            kernel.inverse_ntt(x.data(), x.data(), table);
            CHECK(x == negacyclic(a, b, q));
        }
    }
}

void kernels_agree(std::size_t n, std::uint64_t q) {
    Generator generator(n + q);
    const ring::NttTable table(n, q);
    for (const Words& x : extremes(generator, n, q)) {
        Words forward = x;
        Words inverse = x;
        ring::kPortableKernel.forward_ntt(forward.data(), table);
        ring::kPortableKernel.inverse_ntt(inverse.data(), inverse.data(), table);
        for (const auto name : ring::available_kernels()) {
            const ring::Kernel& kernel = ring::kernel_by_name(name);
            Words y = x;
            kernel.forward_ntt(y.data(), table);
            CHECK(y == forward);
            kernel.inverse_ntt(y.data(), y.data(), table);
            CHECK(y == x);
            kernel.inverse_ntt(y.data(), y.data(), table);
            CHECK(y == inverse);
        }
    }
}

void pointwise(const ring::Kernel& kernel, std::uint64_t q) {
    Generator generator(q);
    const ring::Modulus m(q);
    // Vectors need no alignment and end where they end: one word in, eight words long.
    for (const std::size_t n : {std::size_t{8}, std::size_t{24}}) {
        const Words out = random_words(generator, n, q);
        for (const Words& a : extremes(generator, n, q)) {
            for (const Words& b : extremes(generator, n, q)) {
                Words left(n + 1);
                std::copy(a.begin(), a.end(), left.begin() + 1);
                const std::uint64_t* x = left.data() + 1;
                const std::uint64_t w = out[0];
                const std::uint64_t shoup = ring::shoup_constant(w, m);
                Words sum(n), difference(n), times(n), fused = out, scaled(n);
                kernel.add(sum.data(), x, b.data(), n, m);
                kernel.subtract(difference.data(), x, b.data(), n, m);
                kernel.multiply(times.data(), x, b.data(), n, m);
                kernel.multiply_add(fused.data(), x, b.data(), n, m);
                kernel.subtract_scale(scaled.data(), x, b.data(), n, w, shoup, m);
                for (std::size_t i = 0; i < n; ++i) {
                    const std::uint64_t minus = (a[i] + q - b[i]) % q;
                    CHECK(sum[i] == (a[i] + b[i]) % q);
                    CHECK(difference[i] == minus);
                    CHECK(times[i] == product(a[i], b[i], q));
                    CHECK(fused[i] == (out[i] + product(a[i], b[i], q)) % q);
                    CHECK(scaled[i] == product(minus, w, q));
                }
                std::uint64_t dot = 0;
                for (std::size_t i = 0; i + 1 < n; ++i) dot = (dot + times[i]) % q;
                CHECK(kernel.dot(x, b.data(), n - 1, m) == dot);
            }
        }
        // The word that is subtracted may be anything below 2^51.
        Words wide = random_words(generator, n, std::uint64_t{1} << 51);
        wide[0] = (std::uint64_t{1} << 51) - 1;
        const Words a = random_words(generator, n, q);
        Words result(n);
        kernel.subtract_scale(result.data(), a.data(), wide.data(), n, q - 1,
                              ring::shoup_constant(q - 1, m), m);
        for (std::size_t i = 0; i < n; ++i) {
            CHECK(result[i] == product((a[i] + q - wide[i] % q) % q, q - 1, q));
        }
    }
    for (int i = 0; i < 1000; ++i) {
        const std::uint64_t x = i < 4 ? ~std::uint64_t{0} - i : generator();
        CHECK(ring::reduce_any(x, m) == x % q);
        CHECK(ring::reduce_word(x >> 12, m) == (x >> 12) % q);
    }
}

using Pointers = std::vector<const std::uint64_t*>;

// Rows that begin one word into memory that ends with them.
Pointers shifted(std::vector<Words>& rows) {
    Pointers pointers;
    for (Words& row : rows) {
        row.insert(row.begin(), 0);
        row.shrink_to_fit();
        pointers.push_back(row.data() + 1);
    }
    return pointers;
}

std::uint64_t sum_at(std::size_t i, const Pointers& a, const Pointers& b, std::uint64_t q) {
    std::uint64_t sum = 0;
    for (std::size_t t = 0; t < a.size(); ++t) sum = (sum + product(a[t][i], b[t][i], q)) % q;
    return sum;
}

void sums_of_products(const ring::Kernel& kernel, std::uint64_t q) {
    Generator generator(q);
    const ring::Modulus m(q);
    const std::size_t n = 24;
    for (const std::size_t count : {1, 2, 3, 5, 16, 40, 300}) {
        std::vector<Words> left, right, other;
        while (left.size() < count) {
            for (const Words& edge : extremes(generator, n, q)) {
                if (left.size() == count) break;
                left.push_back(edge);
                right.push_back(count % 2 == 0 ? edge : random_words(generator, n, q));
                other.push_back(Words(n, q - 1));
            }
        }
        const Words plus = random_words(generator, n, q);
        const Pointers a = shifted(left);
        const Pointers b = shifted(right);
        const Pointers c = shifted(other);
        Words out(n), out_b(n), out_a(n);
        kernel.sum_products(out.data(), a.data(), b.data(), count, n, m);
        kernel.multiply_key(out_b.data(), out_a.data(), {a, b, c, plus.data(), nullptr, q - 1}, n,
                            m);
        for (std::size_t i = 0; i < n; ++i) {
            CHECK(out[i] == sum_at(i, a, b, q));
            CHECK(out_b[i] == (out[i] + product(plus[i], q - 1, q)) % q);
            CHECK(out_a[i] == sum_at(i, a, c, q));
        }
    }
}

// Factors whole and in runs.
void products_with_diagonals(const ring::Kernel& kernel, std::uint64_t q) {
    Generator generator(q);
    const ring::Modulus m(q);
    const std::size_t n = 64;
    for (const unsigned log_run : {0u, 1u, 2u, 3u, 4u, 6u, 9u}) {
        for (const std::size_t count : {1, 2, 5, 40, 300}) {
            std::vector<Words> kept, whole, left, right;
            while (kept.size() < count) {
                for (const Words& edge : extremes(generator, n, q)) {
                    if (kept.size() == count) break;
                    Words factors(n);
                    for (std::size_t i = 0; i < n; ++i) factors[i] = edge[i >> log_run];
                    whole.push_back(factors);
                    kept.push_back(edge);
                    kept.back().resize((n >> log_run) + ring::kReadBeyond);
                    left.push_back(count % 2 == 0 ? edge : random_words(generator, n, q));
                    right.push_back(Words(n, q - 1));
                }
            }
            const Pointers a = shifted(left);
            const Pointers b = shifted(right);
            Pointers factors, spread;
            for (std::size_t t = 0; t < count; ++t) {
                factors.push_back(kept[t].data());
                spread.push_back(whole[t].data());
            }
            Words out_0(n), out_1(n);
            kernel.multiply_diagonals(out_0.data(), out_1.data(), {factors, a, b, log_run}, n, m);
            for (std::size_t i = 0; i < n; ++i) {
                CHECK(out_0[i] == sum_at(i, spread, a, q));
                CHECK(out_1[i] == sum_at(i, spread, b, q));
            }
        }
    }
}

// Residues below q whose product's lower 52 bits are all ones, if some are soon found; else q - 1.
std::pair<std::uint64_t, std::uint64_t> largest_lower_half(std::uint64_t q) {
    for (std::uint64_t x = q - 2; x > 2 && q - x < 200000; x -= 2) {
        const std::uint64_t y = ring::minus_inverse_52(x);
        if (y < q) return {x, y};
    }
    return {q - 1, q - 1};
}

// As many products as a kernel adds up before it reduces, one more, and twice as many: all of them
// the largest there are, or those whose lower halves are.
void sums_are_reduced_in_time(const ring::Kernel& kernel, std::uint64_t q) {
    using ring::uint128;
    const ring::Modulus m(q);
    const std::size_t run = m.products_before_reduction();
    const uint128 largest = static_cast<uint128>(q - 1) * (q - 1);
    const uint128 two_52 = uint128{1} << 52;
    CHECK(run >= 12);
    // S / 2^52 + q is below 2^52; lower halves, and one more of the reduction, fit into a word.
    CHECK(run * largest < (two_52 - q) * two_52);
    CHECK((run + 1) * (two_52 - 1) < uint128{1} << 64);
    // In doubles: with what rounding moves, the sum stays below 2^(52 + bits), and the rests, each
    // at most 2^bits, below 6 2^50.
    const std::size_t in_doubles = std::size_t{1} << (52 - m.bits);
    CHECK(in_doubles * (largest + (uint128{1} << m.bits)) <= two_52 << m.bits);
    CHECK(uint128{in_doubles} << m.bits <= 6 * (two_52 / 4));

    const std::size_t n = 16;
    const auto [x, y] = largest_lower_half(q);
    const Words top(n, q - 1), left(n, x), right(n + ring::kReadBeyond, y);
    const Words whole(n + ring::kReadBeyond, q - 1);
    const std::size_t doubles = std::min<std::size_t>(in_doubles, 5000);
    for (const std::size_t count : {run - 1, run, run + 1, 2 * run, doubles, doubles + 1}) {
        const Pointers tops(count, top.data()), lefts(count, left.data());
        const Pointers rights(count, right.data()), wholes(count, whole.data());
        const std::uint64_t squares = product(count % q, product(q - 1, q - 1, q), q);
        const std::uint64_t lower = product(count % q, product(x, y, q), q);
        Words out_0(n), out_1(n);
        const auto check = [&](std::uint64_t first, std::uint64_t second) {
            CHECK(out_0 == Words(n, first) && out_1 == Words(n, second));
        };
        kernel.sum_products(out_0.data(), tops.data(), tops.data(), count, n, m);
        kernel.sum_products(out_1.data(), lefts.data(), rights.data(), count, n, m);
        check(squares, lower);
        kernel.multiply_key(out_0.data(), out_1.data(),
                            {tops, tops, tops, top.data(), top.data(), q - 1}, n, m);
        check((squares + 1) % q, (squares + 1) % q);
        for (const unsigned log_run : {0u, 1u, 2u, 3u, 7u}) {
            kernel.multiply_diagonals(out_0.data(), out_1.data(), {wholes, tops, tops, log_run}, n,
                                      m);
            check(squares, squares);
            kernel.multiply_diagonals(out_0.data(), out_1.data(), {rights, lefts, lefts, log_run},
                                      n, m);
            check(lower, lower);
        }
    }
}

void combinations(const ring::Kernel& kernel, std::uint64_t q) {
    Generator generator(q);
    const ring::Modulus m(q);
    const std::size_t n = 24;
    for (std::size_t count = 1; count <= ring::kMostCombined; ++count) {
        const std::uint64_t most =
            std::min((std::uint64_t{1} << 50) - 1, (std::uint64_t{1} << 53) / count);
        for (const Words& factors : extremes(generator, count, q)) {
            std::vector<Words> rows;
            Words scaled;
            for (std::size_t t = 0; t < count; ++t) {
                rows.push_back(t % 2 == 0 ? Words(n, most) : random_words(generator, n, most));
                scaled.push_back(product(factors[t], m.two_52, q));
            }
            const Pointers x = shifted(rows);
            Words out(n);
            kernel.combine(out.data(), x.data(), scaled.data(), count, q - 1, n, m);
            for (std::size_t i = 0; i < n; ++i) {
                std::uint64_t expected = q - 1;
                for (std::size_t t = 0; t < count; ++t) {
                    expected = (expected + product(x[t][i] % q, factors[t], q)) % q;
                }
                CHECK(out[i] == expected);
            }
        }
    }
}

void residues_of_signed_integers(const ring::Kernel& kernel, std::uint64_t q) {
    Generator generator(q);
    std::vector<std::int64_t> x(33);
    for (auto& word : x) word = static_cast<std::int64_t>(generator());
    x[1] = INT64_MIN;
    x[2] = INT64_MIN + 1;
    x[3] = INT64_MAX;
    x[4] = 0;
    x[5] = -1;
    x[6] = -static_cast<std::int64_t>(q);
    x[7] = static_cast<std::int64_t>(q);
    Words out(32);
    kernel.reduce_integers(out.data(), x.data() + 1, 32, ring::Modulus(q));
    const auto modulus = static_cast<std::int64_t>(q);
    for (std::size_t i = 0; i < 32; ++i) {
        const std::int64_t rest = x[i + 1] % modulus;
        CHECK(out[i] == static_cast<std::uint64_t>(rest < 0 ? rest + modulus : rest));
    }
}

// X -> X^g on coefficients, then the transform; and the transform, then the permutation.
void automorphisms_permute(const ring::Kernel& kernel, std::size_t n, std::uint64_t q) {
    Generator generator(n);
    const ring::NttTable table(n, q);
    const Words x = random_words(generator, n, q);
    Words values = x;
    kernel.forward_ntt(values.data(), table);
    for (std::uint64_t g = 1; g < 2 * n; g += n <= 64 ? 2 : 2 * (n / 16) + 2) {
        Words moved(n);
        for (std::size_t i = 0; i < n; ++i) {
            const std::size_t exponent = i * g % (2 * n);
            moved[exponent % n] = exponent < n ? x[i] : (q - x[i]) % q;
        }
        kernel.forward_ntt(moved.data(), table);
        Words permuted(n);
        kernel.permute(permuted.data(), values.data(), ring::Automorphism(n, g));
        CHECK(permuted == moved);
    }
    THROWS(ring::Automorphism(n, 2), std::invalid_argument);
    THROWS(ring::Automorphism(n, 2 * n + 1), std::invalid_argument);
}

// round(x / p) of a polynomial over two primes, in both forms.
void division_rounds(std::string_view kernel, std::size_t n) {
    const auto primes = chain(n, {50, 33});
    const auto ring = std::make_shared<const ring::Ring>(n, primes, Words{}, kernel);
    const std::uint64_t q = primes[0];
    const std::uint64_t p = primes[1];
    Generator generator(n);
    std::vector<ring::uint128> x(n);
    ring::Polynomial polynomial(ring, 2, ring::Form::kCoefficients);
    const ring::uint128 modulus = static_cast<ring::uint128>(q) * p;
    for (std::size_t j = 0; j < n; ++j) {
        x[j] = ((static_cast<ring::uint128>(generator()) << 64) | generator()) % modulus;
        if (j == 0) x[j] = modulus - 1;
        if (j == 1) x[j] = p / 2;
        if (j == 2) x[j] = p / 2 + 1;
        polynomial.row(0)[j] = static_cast<std::uint64_t>(x[j] % q);
        polynomial.row(1)[j] = static_cast<std::uint64_t>(x[j] % p);
    }
    ring::Polynomial values = polynomial;
    values.to_values();
    const auto divided = [](const ring::Polynomial& one) {
        const ring::Polynomial* const all[] = {&one};
        return ring::divide_and_round(all, 1).at(0);
    };
    polynomial = divided(polynomial);
    values = divided(values);
    CHECK(values.form() == ring::Form::kValues);
    values.to_coefficients();
    for (std::size_t j = 0; j < n; ++j) {
        const auto rounded = static_cast<std::uint64_t>((x[j] + p / 2) / p % q);
        CHECK(polynomial.row(0)[j] == rounded);
        CHECK(values.row(0)[j] == rounded);
    }
    THROWS(divided(polynomial), std::invalid_argument);
}

void misuse_is_refused() {
    const auto primes = chain(16, {40, 41});
    const auto ring = std::make_shared<const ring::Ring>(16, primes, Words{}, "");
    const auto other = std::make_shared<const ring::Ring>(16, primes, Words{}, "");
    using ring::Form;
    using ring::Polynomial;
    THROWS(Polynomial(ring, 0, Form::kValues), std::invalid_argument);
    THROWS(Polynomial(ring, 3, Form::kValues), std::invalid_argument);
    THROWS(Polynomial(ring, std::size_t{1} << 60, Form::kValues), std::invalid_argument);
    Polynomial a(ring, 2, Form::kCoefficients);
    const Polynomial short_one(ring, 1, Form::kCoefficients);
    const Polynomial values(ring, 2, Form::kValues);
    const Polynomial foreign(other, 2, Form::kCoefficients);
    THROWS(a.add(short_one), std::invalid_argument);
    THROWS(a.add(values), std::invalid_argument);
    THROWS(a.subtract(foreign), std::invalid_argument);
    THROWS(a.multiply(values), std::invalid_argument);
    THROWS(a.truncate(0), std::invalid_argument);
    THROWS(a.truncate(3), std::invalid_argument);
    const std::vector<std::int32_t> many(17);
    THROWS(ring::lift(ring, 1, many), std::invalid_argument);
    THROWS(ring::Ring(16, Words{}, Words{}, ""), std::invalid_argument);
    THROWS(ring::Ring(16, chain(16, {40}), Words{}, "abacus"), std::invalid_argument);
    for (const std::size_t degree : {0, 1, 4, 12, 24}) {
        THROWS(ring::NttTable(degree, 97), std::invalid_argument);
    }
    for (const std::uint64_t q : {0ULL, 1ULL, 2ULL, 95ULL, 65539ULL, 1ULL << 50, ~0ULL}) {
        THROWS(ring::NttTable(16, q), std::invalid_argument);
    }
}

}  // namespace

int main() {
    for (const auto name : ring::available_kernels()) {
        const ring::Kernel& kernel = ring::kernel_by_name(name);
        std::printf("kernel %.*s\n", static_cast<int>(name.size()), name.data());
        for (const std::size_t n : {8, 16, 32, 64, 128, 256}) {
            products_are_negacyclic(kernel, n, 7681);
            for (const unsigned bits : {16u, 33u, 50u}) {
                products_are_negacyclic(kernel, n, primes_below(n, bits, 1).at(0));
            }
            division_rounds(name, n);
        }
        Words primes = {97, 12289};
        for (unsigned bits = 16; bits <= 50; ++bits) {
            primes.push_back(primes_below(16, bits, 1).at(0));
        }
        for (const std::uint64_t q : primes) {
            pointwise(kernel, q);
            sums_of_products(kernel, q);
            products_with_diagonals(kernel, q);
            sums_are_reduced_in_time(kernel, q);
            combinations(kernel, q);
            residues_of_signed_integers(kernel, q);
        }
        for (const std::size_t n : {8, 16, 64, 4096}) {
            automorphisms_permute(kernel, n, primes_below(n, 50, 1).at(0));
        }
    }
    for (unsigned log_n = 3; log_n <= 17; ++log_n) {
        for (const unsigned bits : {24u, 32u, 46u, 47u, 50u}) {
            kernels_agree(std::size_t{1} << log_n, primes_below(1u << log_n, bits, 1).at(0));
        }
    }
    misuse_is_refused();
}
