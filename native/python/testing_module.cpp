// strongroom._native_testing: what only tests may reach. Built with STRONGROOM_TESTING, never part
// of a wheel.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstring>
#include <optional>

#include "ckks/encoding.hpp"
#include "python/arrays.hpp"
#include "ring/bitpack.hpp"
#include "ring/random.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using namespace strongroom;

namespace {

using WordsView = View<std::uint64_t>;

std::vector<std::uint64_t> copy_of(const WordsView& view) {
    return {view.data(), view.data() + view.size()};
}

using Words = nb::ndarray<nb::numpy, std::uint64_t>;

Words transform(const std::string& kernel, const WordsView& x, std::uint64_t prime, bool inverse) {
    const ring::NttTable table(x.size(), prime);
    const ring::Kernel& k = ring::kernel_by_name(kernel);
    std::vector<std::uint64_t> words = copy_of(x);
    if (inverse) {
        // Elsewhere and in place.
        std::vector<std::uint64_t> other(words.size());
        k.inverse_ntt(other.data(), words.data(), table);
        k.inverse_ntt(words.data(), words.data(), table);
        if (words != other) throw std::logic_error("transforms in place and elsewhere differ");
    } else {
        k.forward_ntt(words.data(), table);
    }
    return to_array(std::move(words));
}

Words pointwise(const std::string& kernel, const std::string& operation, const WordsView& out,
                const WordsView& a, const WordsView& b, std::uint64_t prime) {
    const ring::Modulus m(prime);
    const ring::Kernel& k = ring::kernel_by_name(kernel);
    std::vector<std::uint64_t> words = copy_of(out);
    const std::size_t n = a.size();
    if (b.size() != n || words.size() != n || n % 8 != 0) throw std::invalid_argument("sizes");
    if (operation == "add") k.add(words.data(), a.data(), b.data(), n, m);
    if (operation == "subtract") k.subtract(words.data(), a.data(), b.data(), n, m);
    if (operation == "multiply") k.multiply(words.data(), a.data(), b.data(), n, m);
    if (operation == "multiply_add") k.multiply_add(words.data(), a.data(), b.data(), n, m);
    if (operation == "dot") words[0] = k.dot(a.data(), b.data(), n, m);
    if (operation == "subtract_scale") {
        const std::uint64_t w = words[0];
        k.subtract_scale(words.data(), a.data(), b.data(), n, w, ring::shoup_constant(w, m), m);
    }
    return to_array(std::move(words));
}

// Rows of one length, a multiple of 8.
using Table = nb::ndarray<const std::uint64_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

std::vector<const std::uint64_t*> rows_of(const Table& table) {
    if (table.shape(1) % 8 != 0) throw std::invalid_argument("sizes");
    std::vector<const std::uint64_t*> rows(table.shape(0));
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = table.data() + i * table.shape(1);
    return rows;
}

void check_same_shape(const Table& a, const Table& b) {
    if (a.shape(0) != b.shape(0) || a.shape(1) != b.shape(1)) throw std::invalid_argument("sizes");
}

Words sum_products(const std::string& kernel, const Table& a, const Table& b, std::uint64_t prime) {
    check_same_shape(a, b);
    std::vector<std::uint64_t> words(a.shape(1));
    ring::kernel_by_name(kernel).sum_products(words.data(), rows_of(a).data(), rows_of(b).data(),
                                              a.shape(0), words.size(), ring::Modulus(prime));
    return to_array(std::move(words));
}

nb::tuple multiply_key(const std::string& kernel, const Table& digits, const Table& b,
                       const Table& a, std::optional<WordsView> plus_b,
                       std::optional<WordsView> plus_a, std::uint64_t factor, std::uint64_t prime) {
    check_same_shape(digits, b);
    check_same_shape(digits, a);
    const std::size_t n = digits.shape(1);
    for (const auto& plus : {plus_b, plus_a}) {
        if (plus && plus->size() != n) throw std::invalid_argument("sizes");
    }
    const auto digit_rows = rows_of(digits), b_rows = rows_of(b), a_rows = rows_of(a);
    const ring::KeyProducts products{digit_rows,
                                     b_rows,
                                     a_rows,
                                     plus_b ? plus_b->data() : nullptr,
                                     plus_a ? plus_a->data() : nullptr,
                                     factor};
    std::vector<std::uint64_t> out_b(n), out_a(n);
    ring::kernel_by_name(kernel).multiply_key(out_b.data(), out_a.data(), products, n,
                                              ring::Modulus(prime));
    return nb::make_tuple(to_array(std::move(out_b)), to_array(std::move(out_a)));
}

Words combine(const std::string& kernel, const Table& x, const WordsView& factors,
              std::uint64_t offset, std::uint64_t prime) {
    if (x.shape(0) != factors.size() || factors.size() > ring::kMostCombined) {
        throw std::invalid_argument("sizes");
    }
    std::vector<std::uint64_t> words(x.shape(1));
    ring::kernel_by_name(kernel).combine(words.data(), rows_of(x).data(), factors.data(),
                                         factors.size(), offset, words.size(),
                                         ring::Modulus(prime));
    return to_array(std::move(words));
}

Words permute(const std::string& kernel, const WordsView& x, std::uint64_t element) {
    std::vector<std::uint64_t> words(x.size());
    ring::kernel_by_name(kernel).permute(words.data(), x.data(),
                                         ring::Automorphism(x.size(), element));
    return to_array(std::move(words));
}

Words reduce_integers(const std::string& kernel, const View<std::int64_t>& x, std::uint64_t prime) {
    if (x.size() % 8 != 0) throw std::invalid_argument("sizes");
    std::vector<std::uint64_t> words(x.size());
    ring::kernel_by_name(kernel).reduce_integers(words.data(), x.data(), x.size(),
                                                 ring::Modulus(prime));
    return to_array(std::move(words));
}

// The butterflies of the embedding on N/2 complex numbers.
nb::tuple embed(const std::string& kernel, const DoublesView& real, const DoublesView& imaginary,
                bool to_slots) {
    if (real.size() != imaginary.size()) throw std::invalid_argument("sizes");
    const ring::EmbeddingTable table(2 * real.size());
    const ring::Kernel& k = ring::kernel_by_name(kernel);
    std::vector<double> x(real.data(), real.data() + real.size());
    std::vector<double> y(imaginary.data(), imaginary.data() + imaginary.size());
    (to_slots ? k.coefficients_to_slots : k.slots_to_coefficients)(x.data(), y.data(), table);
    return nb::make_tuple(to_array(std::move(x)), to_array(std::move(y)));
}

// A plaintext's words as they lie, shape (rows, N).
Words rows_as_they_lie(const ckks::Plaintext& plaintext) {
    const ring::Polynomial& p = plaintext.polynomial;
    std::vector<std::uint64_t> words;
    for (std::size_t i = 0; i < p.rows(); ++i) {
        words.insert(words.end(), p.row(i), p.row(i) + p.degree());
    }
    return to_array(std::move(words), {p.rows(), p.degree()});
}

}  // namespace

NB_MODULE(_native_testing, m) {
    nb::module_::import_("strongroom._native");
    m.def(
        "without_security",
        [](std::size_t ring_degree, std::vector<std::uint64_t> primes,
           std::vector<std::uint64_t> special_primes, const std::string& kernel) {
            return ckks::Parameters::without_security(
                {ring_degree, std::move(primes), std::move(special_primes), ""}, kernel);
        },
        "ring_degree"_a, "primes"_a, "special_primes"_a, "kernel"_a = "");
    m.def("forward_ntt", [](const std::string& kernel, WordsView x, std::uint64_t prime) {
        return transform(kernel, x, prime, false);
    });
    m.def("inverse_ntt", [](const std::string& kernel, WordsView x, std::uint64_t prime) {
        return transform(kernel, x, prime, true);
    });
    m.def("pointwise", &pointwise, "kernel"_a, "operation"_a, "out"_a, "a"_a, "b"_a, "prime"_a);
    m.def("sum_products", &sum_products, "kernel"_a, "a"_a, "b"_a, "prime"_a);
    m.def("multiply_key", &multiply_key, "kernel"_a, "digits"_a, "b"_a, "a"_a, "plus_b"_a.none(),
          "plus_a"_a.none(), "factor"_a, "prime"_a);
    m.def("combine", &combine, "kernel"_a, "x"_a, "factors"_a, "offset"_a, "prime"_a);
    m.def("permute", &permute, "kernel"_a, "x"_a, "element"_a);
    m.def("reduce_integers", &reduce_integers, "kernel"_a, "x"_a, "prime"_a);
    m.def("embed", &embed, "kernel"_a, "real"_a, "imaginary"_a, "to_slots"_a);
    m.def("rows_as_they_lie", &rows_as_they_lie, "plaintext"_a);
    m.def("primitive_root", [](std::uint64_t two_n, std::uint64_t prime) {
        return ring::primitive_root(two_n, ring::Modulus(prime));
    });
    m.def("is_prime", &ring::is_prime);
    m.def("chacha20", [](const std::string& kernel, BytesView key, BytesView nonce,
                         std::uint32_t counter, std::size_t blocks) {
        if (key.size() != 32 || nonce.size() != 12) throw std::invalid_argument("sizes");
        std::uint32_t k[8];
        std::uint32_t n[3];
        std::memcpy(k, key.data(), 32);
        std::memcpy(n, nonce.data(), 12);
        std::vector<std::uint32_t> words(16 * blocks);
        ring::kernel_by_name(kernel).chacha20(words.data(), k, n, counter, blocks);
        return nb::bytes(words.data(), 4 * words.size());
    });
    m.def("expand_uniform", [](const ckks::Parameters& parameters, std::size_t limbs,
                               BytesView seed, std::uint32_t purpose) {
        ring::Seed s;
        if (seed.size() != s.size()) throw std::invalid_argument("sizes");
        std::memcpy(s.data(), seed.data(), s.size());
        const auto p =
            ring::expand_uniform(parameters.ring(), limbs, s, static_cast<ring::Purpose>(purpose));
        std::vector<std::uint64_t> words;
        for (std::size_t i = 0; i < limbs; ++i) {
            words.insert(words.end(), p.row(i), p.row(i) + p.degree());
        }
        return to_array(std::move(words), {limbs, p.degree()});
    });
    m.def("sample_ternary", [](std::size_t n) {
        const auto x = ring::sample_ternary(n);
        return to_array(std::vector<std::int32_t>(x.begin(), x.end()));
    });
    m.def("sample_error", [](std::size_t n, const std::string& kernel) {
        const auto x = ring::sample_error(n, ring::kernel_by_name(kernel));
        return to_array(std::vector<std::int32_t>(x.begin(), x.end()));
    });
    m.def("gaussian", [](const std::string& kernel, WordsView uniform) {
        std::vector<std::int32_t> out(uniform.size());
        ring::kernel_by_name(kernel).gaussian(out.data(), uniform.data(), out.size());
        return to_array(std::move(out));
    });
    m.def("sample_flood", [](std::size_t n, double log_sigma) {
        const ring::Flood flood = ring::sample_flood(n, log_sigma);
        return nb::make_tuple(
            flood.shift,
            to_array(std::vector<std::int64_t>(flood.high.begin(), flood.high.begin() + n)),
            to_array(std::vector<std::uint64_t>(flood.low.begin(), flood.low.begin() + n)));
    });
    m.def("flood_from_uniform", [](WordsView uniform, double log_sigma) {
        const ring::Flood flood = ring::flood_from_uniform(span_of(uniform), log_sigma);
        return nb::make_tuple(
            flood.shift, to_array(std::vector<std::int64_t>(flood.high.begin(), flood.high.end())),
            to_array(std::vector<std::uint64_t>(flood.low.begin(), flood.low.end())));
    });
    m.def("pack", [](WordsView words, unsigned bits) {
        std::vector<std::uint8_t> out(ring::packed_bytes(words.size(), bits));
        ring::pack(out, span_of(words), bits);
        return nb::bytes(out.data(), out.size());
    });
    m.def("unpack", [](BytesView bytes, std::size_t count, std::uint64_t modulus) {
        std::vector<std::uint64_t> out(count);
        const auto fault = ring::unpack(out, span_of(bytes), modulus);
        if (fault) throw std::invalid_argument(std::to_string(static_cast<int>(*fault)));
        return to_array(std::move(out));
    });
}
