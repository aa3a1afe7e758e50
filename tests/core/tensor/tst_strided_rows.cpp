// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/tensor/strided_rows.h"

#include <QTest>

#include <algorithm>
#include <bit>
#include <cstring>
#include <random>

using namespace quantloupe;

namespace {

/// The element of a strided tensor by its definition.
std::uint64_t placeOf(std::uint64_t flat, const Shape& shape, const std::vector<std::uint64_t>& strides)
{
    std::uint64_t place = 0;
    for (std::size_t i = shape.size(); i-- > 0; flat /= shape[i])
        place += flat % shape[i] * strides[i];
    return place;
}

}  // namespace

class TestStridedRows : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void agreesWithTheDefinition()
    {
        std::mt19937 random(11);
        const auto below = [&](unsigned limit) { return random() % limit; };
        for (int round = 0; round < 2'000; ++round) {
            TensorView view {.dtype = below(2) == 0 ? DType::F32 : DType::BF16};
            std::vector<std::uint64_t> strides;
            for (auto rank = below(5); rank > 0; --rank) {
                view.shape.push_back(1 + below(rank > 2 ? 4 : 90));
                strides.push_back(below(7));
            }
            // Often the strides of some permutation, sometimes any at all.
            if (below(4) != 0) {
                std::vector<std::size_t> order(strides.size());
                for (std::size_t i = 0; i < order.size(); ++i)
                    order[i] = i;
                std::shuffle(order.begin(), order.end(), random);
                std::uint64_t stride = 1 + below(2);
                for (const auto axis : order) {
                    strides[axis] = stride;
                    stride *= view.shape[axis];
                }
            }
            const bool swapped = below(3) == 0;
            view.transposed = view.shape.size() == 2 && below(3) == 0;
            view.convolution = view.shape.size() == 4 && below(2) == 0;
            const auto width = traitsOf(view.dtype).blockBytes;
            const auto extent = strideExtent(view.shape, strides).value();
            std::vector<float> stored(extent);
            std::string bytes(extent * width, '\0');
            for (std::uint64_t i = 0; i < extent; ++i) {
                const auto bits = (below(0x7f00) << 16U) & (width == 2 ? 0xffff0000U : 0xffffffffU);
                stored[i] = std::bit_cast<float>(std::uint32_t(bits));
                auto* place = bytes.data() + i * width;
                std::memcpy(place, reinterpret_cast<const char*>(&bits) + 4 - width, width);
                if (swapped)
                    std::reverse(place, place + width);
            }
            view.bytes = std::as_bytes(std::span(bytes));
            setStrides(view, strides, swapped);
            QCOMPARE(bool(view.decoder), swapped || !isContiguous(view.shape, strides));
            QCOMPARE(view.byteSize(), *elementCount(view.shape) * width);

            const auto matrix = matrixShape(view);
            const auto first = below(unsigned(matrix.rows)), count = 1 + below(unsigned(matrix.rows - first));
            std::vector<float> rows(count * matrix.columns);
            decodeRows(view, first, count, rows);
            for (std::uint64_t i = 0; i < rows.size(); ++i) {
                auto flat = first * matrix.columns + i;
                if (view.transposed)
                    flat = flat % matrix.columns * matrix.rows + flat / matrix.columns;
                const float expected = stored[placeOf(flat, view.shape, strides)];
                QVERIFY2(std::bit_cast<quint32>(rows[i]) == std::bit_cast<quint32>(expected),
                    qPrintable(QString("round %1").arg(round)));
            }
        }
    }

    void extents()
    {
        constexpr auto large = std::uint64_t {1} << 63U;
        QVERIFY(strideExtent({}, {}) == 1U);
        QVERIFY(strideExtent({0, 5}, {large, large}) == 0U);
        QVERIFY(strideExtent({2, 3}, {3, 1}) == 6U);
        QVERIFY(strideExtent({2, 3}, {0, 0}) == 1U);
        QVERIFY(!strideExtent({3, 1}, {large, 1}));
        QVERIFY(!strideExtent({2, 2}, {large, large}));
        QVERIFY(!strideExtent({2, 2}, {large, large - 1}));
        QVERIFY(isContiguous({2, 1, 3}, {3, 77, 1}));
        QVERIFY(!isContiguous({2, 3}, {1, 2}));
        QVERIFY(isContiguous({0, 3}, {1, 2}));
    }
};

QTEST_APPLESS_MAIN(TestStridedRows)
#include "tst_strided_rows.moc"
