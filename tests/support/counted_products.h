// SPDX-License-Identifier: GPL-3.0-or-later
// Stands between the core and OpenBLAS in a test's executable: counts multiplications, and requests a stop as a given
// product begins. So what is done after a stop is counted, not timed. For one source file of an executable that exports
// its symbols, as the core looks for these by name.
#pragma once

#include <cblas.h>

#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <stop_token>

namespace quantloupe::tests {

/// What the counted functions go by. One run at a time.
struct CountedProducts {
    std::atomic<std::uint64_t> calls = 0, largest = 0;
    std::atomic<std::uint64_t> afterStop = 0;  ///< multiplications of what began behind the product that stopped
    std::uint64_t stopAt = 0;                  ///< number of the product that stops; 0: none
    std::stop_source source {};

    void restart(std::uint64_t product)
    {
        calls = largest = afterStop = 0;
        stopAt = product;
        source = {};
    }

    void note(std::uint64_t multiplications)
    {
        auto known = largest.load();
        while (known < multiplications && !largest.compare_exchange_weak(known, multiplications)) { }
        if (source.stop_requested())
            afterStop += multiplications;
        if (++calls == stopAt)
            source.request_stop();
    }
};

inline CountedProducts countedProducts;

/// OpenBLAS' own function.
template<class Function>
Function* own(const char* name)
{
    void* const library = ::dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
    void* const found = library ? ::dlsym(library, name) : nullptr;
    if (!found)
        std::abort();
    return reinterpret_cast<Function*>(found);
}

inline std::uint64_t times(blasint a, blasint b, blasint c)
{
    return static_cast<std::uint64_t>(a) * static_cast<std::uint64_t>(b) * static_cast<std::uint64_t>(c);
}

}  // namespace quantloupe::tests

extern "C" {

void quantloupe_test_cblas_sgemm(CBLAS_ORDER order, CBLAS_TRANSPOSE sideOfA, CBLAS_TRANSPOSE sideOfB, blasint m,
    blasint n, blasint k, float alpha, const float* a, blasint lda, const float* b, blasint ldb, float beta, float* c,
    blasint ldc)
{
    static auto* const real = quantloupe::tests::own<decltype(cblas_sgemm)>("cblas_sgemm");
    quantloupe::tests::countedProducts.note(quantloupe::tests::times(m, n, k));
    real(order, sideOfA, sideOfB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

void quantloupe_test_cblas_dgemm(CBLAS_ORDER order, CBLAS_TRANSPOSE sideOfA, CBLAS_TRANSPOSE sideOfB, blasint m,
    blasint n, blasint k, double alpha, const double* a, blasint lda, const double* b, blasint ldb, double beta,
    double* c, blasint ldc)
{
    static auto* const real = quantloupe::tests::own<decltype(cblas_dgemm)>("cblas_dgemm");
    quantloupe::tests::countedProducts.note(quantloupe::tests::times(m, n, k));
    real(order, sideOfA, sideOfB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

void quantloupe_test_cblas_dtrsm(CBLAS_ORDER order, CBLAS_SIDE side, CBLAS_UPLO triangle, CBLAS_TRANSPOSE transposed,
    CBLAS_DIAG diagonal, blasint m, blasint n, double alpha, const double* a, blasint lda, double* b, blasint ldb)
{
    static auto* const real = quantloupe::tests::own<decltype(cblas_dtrsm)>("cblas_dtrsm");
    const auto triangular = side == CblasLeft ? m : n;
    quantloupe::tests::countedProducts.note(quantloupe::tests::times(m, n, triangular) / 2);
    real(order, side, triangle, transposed, diagonal, m, n, alpha, a, lda, b, ldb);
}

}  // extern "C"
