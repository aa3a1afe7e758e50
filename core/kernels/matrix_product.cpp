// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/matrix_product.h"

#include <cblas.h>

#include <cassert>

namespace quantloupe::kernels {
namespace {

/// Its own threads would be as many again as there are tasks, and give other bits from run to run.
void keepToOneThread()
{
    static const bool done = [] {
        openblas_set_num_threads(1);
        return true;
    }();
    static_cast<void>(done);
}

int extent(std::size_t size)
{
    return static_cast<int>(size);
}

}  // namespace

void multiplyByTransposed(ConstMatrix a, ConstMatrix b, MutableMatrix result, float scale)
{
    assert(a.columns == b.columns && result.rows == a.rows && result.columns == b.rows);
    if (result.rows == 0 || result.columns == 0)
        return;
    keepToOneThread();
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, extent(a.rows), extent(b.rows), extent(a.columns), scale,
        a.data, extent(a.stride), b.data, extent(b.stride), 0.0F, result.data, extent(result.stride));
}

void multiply(ConstMatrix a, ConstMatrix b, MutableMatrix result)
{
    assert(a.columns == b.rows && result.rows == a.rows && result.columns == b.columns);
    if (result.rows == 0 || result.columns == 0)
        return;
    keepToOneThread();
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, extent(a.rows), extent(b.columns), extent(a.columns), 1.0F,
        a.data, extent(a.stride), b.data, extent(b.stride), 0.0F, result.data, extent(result.stride));
}

}  // namespace quantloupe::kernels
