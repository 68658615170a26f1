// strongroom._native_testing: what only tests may reach. Built with STRONGROOM_TESTING, never part
// of a wheel.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstring>

#include "ckks/parameters.hpp"
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
    (inverse ? k.inverse_ntt : k.forward_ntt)(words.data(), table);
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
    if (operation == "subtract_reduced_scale") {
        const std::uint64_t w = words[0];
        k.subtract_reduced_scale(words.data(), a.data(), b.data(), n, w, ring::shoup_constant(w, m),
                                 m);
    }
    return to_array(std::move(words));
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
        std::vector<std::uint64_t> words(p.row(0), p.row(0) + limbs * p.degree());
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
