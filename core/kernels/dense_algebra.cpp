// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/dense_algebra.h"

#include <cblas.h>
#include <dlfcn.h>
#include <f77blas.h>

#include <cassert>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace quantloupe::kernels {
namespace {

/// What is used of OpenBLAS, which is loaded when it is first asked for: at the start of a program it would begin a
/// thread for every processor, and each of those looks for work that never comes for tens of milliseconds.
class Blas
{
public:
    decltype(&cblas_sgemm) sgemm = nullptr;
    decltype(&cblas_dgemm) dgemm = nullptr;
    decltype(&cblas_sgemv) sgemv = nullptr;
    decltype(&cblas_sger) sger = nullptr;
    decltype(&cblas_dtrsm) dtrsm = nullptr;
    decltype(&BLASFUNC(dpotrf)) dpotrf = nullptr;

    /// Loaded or not.
    static const Blas& tried()
    {
        static const Blas blas;
        return blas;
    }
    static const Blas& get()
    {
        const Blas& blas = tried();
        if (!blas.m_problem.empty()) {
            // As the loader itself ends programs whose libraries are not there; other threads may be at work.
            std::fprintf(stderr, "libopenblas.so.0: %s\n", blas.m_problem.c_str());
            std::_Exit(127);
        }
        return blas;
    }
    const std::string& problem() const { return m_problem; }  ///< why it cannot be used

private:
    Blas()
    {
        decltype(&openblas_set_num_threads) setThreads = nullptr;
        void* library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
        if (!library)  // where it was found when this was built
            library = dlopen(QUANTLOUPE_OPENBLAS, RTLD_NOW | RTLD_LOCAL);
        if (!library) {
            m_problem = dlerror();
            return;
        }
        find(library, "cblas_sgemm", sgemm);
        find(library, "cblas_dgemm", dgemm);
        find(library, "cblas_sgemv", sgemv);
        find(library, "cblas_sger", sger);
        find(library, "cblas_dtrsm", dtrsm);
        find(library, "dpotrf_", dpotrf);
        find(library, "openblas_set_num_threads", setThreads);
        // Threads of its own would be as many again as there are tasks, and their sums differ from run to run.
        if (m_problem.empty())
            setThreads(1);
    }

    template<class Function>
    void find(void* library, const std::string& name, Function& function)
    {
        // A test that counts products stands in its place.
        void* found = dlsym(RTLD_DEFAULT, ("quantloupe_test_" + name).c_str());
        if (!found)
            found = dlsym(library, name.c_str());
        if (!found)
            m_problem = "has no " + name;
        function = reinterpret_cast<Function>(found);
    }

    std::string m_problem {};
};

int blasSize(std::size_t size)
{
    return static_cast<int>(size);
}

CBLAS_TRANSPOSE blasSide(Side side)
{
    return side == Side::Plain ? CblasNoTrans : CblasTrans;
}

template<class Number>
std::size_t depthOf(const Matrix<const Number>& a, Side side)
{
    return side == Side::Plain ? a.columns : a.rows;
}

}  // namespace

Result<void> requireProducts()
{
    if (const auto& problem = Blas::tried().problem(); !problem.empty())
        return failure(ErrorCode::CannotOpen, "libopenblas.so.0", problem);
    return {};
}

void addProduct(
    float scale, Matrix<const float> a, Side sideOfA, Matrix<const float> b, Side sideOfB, float keep, Matrix<float> c)
{
    if (c.rows == 0 || c.columns == 0)
        return;
    Blas::get().sgemm(CblasRowMajor, blasSide(sideOfA), blasSide(sideOfB), blasSize(c.rows), blasSize(c.columns),
        blasSize(depthOf(a, sideOfA)), scale, a.data, blasSize(a.stride), b.data, blasSize(b.stride), keep, c.data,
        blasSize(c.stride));
}

void addProduct(double scale, Matrix<const double> a, Side sideOfA, Matrix<const double> b, Side sideOfB, double keep,
    Matrix<double> c)
{
    if (c.rows == 0 || c.columns == 0)
        return;
    Blas::get().dgemm(CblasRowMajor, blasSide(sideOfA), blasSide(sideOfB), blasSize(c.rows), blasSize(c.columns),
        blasSize(depthOf(a, sideOfA)), scale, a.data, blasSize(a.stride), b.data, blasSize(b.stride), keep, c.data,
        blasSize(c.stride));
}

void multiplyByTransposed(ConstMatrix a, ConstMatrix b, MutableMatrix result, float scale)
{
    assert(a.columns == b.columns && result.rows == a.rows && result.columns == b.rows);
    addProduct(scale, a, Side::Plain, b, Side::Transposed, 0.0F, result);
}

void multiplyByVector(ConstMatrix a, std::span<const float> vector, std::span<float> result)
{
    assert(a.columns == vector.size() && result.size() == a.rows);
    if (a.rows == 0)
        return;
    Blas::get().sgemv(CblasRowMajor, CblasNoTrans, blasSize(a.rows), blasSize(a.columns), 1.0F, a.data,
        blasSize(a.stride), vector.data(), 1, 0.0F, result.data(), 1);
}

void multiply(ConstMatrix a, ConstMatrix b, MutableMatrix result)
{
    assert(a.columns == b.rows && result.rows == a.rows && result.columns == b.columns);
    addProduct(1.0F, a, Side::Plain, b, Side::Plain, 0.0F, result);
}

void subtractOuterProduct(std::span<const float> column, std::span<const float> row, Matrix<float> c)
{
    if (column.empty() || row.empty())
        return;
    Blas::get().sger(CblasRowMajor, blasSize(column.size()), blasSize(row.size()), -1.0F, column.data(), 1, row.data(),
        1, c.data, blasSize(c.stride));
}

bool choleskyFactor(Matrix<double> a)
{
    // By columns, as LAPACK reads it, the lower triangle of rows is the upper one.
    char upper = 'U';
    int size = blasSize(a.rows), stride = blasSize(a.stride), info = 0;
    Blas::get().dpotrf(&upper, &size, a.data, &stride, &info);
    return info == 0;
}

void solveLower(Matrix<const double> lower, Matrix<double> b)
{
    Blas::get().dtrsm(CblasRowMajor, CblasLeft, CblasLower, CblasNoTrans, CblasNonUnit, blasSize(b.rows),
        blasSize(b.columns), 1.0, lower.data, blasSize(lower.stride), b.data, blasSize(b.stride));
}

void solveLowerTransposedRight(Matrix<const double> lower, Matrix<double> b)
{
    Blas::get().dtrsm(CblasRowMajor, CblasRight, CblasLower, CblasTrans, CblasNonUnit, blasSize(b.rows),
        blasSize(b.columns), 1.0, lower.data, blasSize(lower.stride), b.data, blasSize(b.stride));
}

}  // namespace quantloupe::kernels
