// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/tensor/selected_rows.h"

#include <QTest>

#include <numeric>

using namespace quantloupe;

class TestSelectedRows : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void decodesRowsInTheOrderGiven_data()
    {
        QTest::addColumn<QList<int>>("rows");
        QTest::addColumn<bool>("transposed");
        QTest::newRow("a range") << QList {2, 3, 4} << false;
        QTest::newRow("backwards") << QList {6, 5, 4, 3, 2, 1, 0} << false;
        QTest::newRow("runs and jumps") << QList {0, 1, 5, 6, 3, 3} << false;
        QTest::newRow("of a matrix stored by columns") << QList {4, 0, 1, 2} << true;
        QTest::newRow("none") << QList<int> {} << false;
    }

    void decodesRowsInTheOrderGiven()
    {
        QFETCH(const QList<int>, rows);
        QFETCH(const bool, transposed);
        constexpr std::uint64_t height = 7, width = 5;
        std::vector<float> values(height * width);
        std::iota(values.begin(), values.end(), 1.0F);
        TensorView view {.dtype = DType::F32,
            .shape = transposed ? Shape {width, height} : Shape {height, width},
            .bytes = std::as_bytes(std::span(values)),
            .transposed = transposed};
        const auto selected = selectRows(view, {rows.begin(), rows.end()});
        QCOMPARE(matrixShape(selected), (MatrixShape {std::uint64_t(rows.size()), width}));
        QVERIFY(selected.decodable());
        for (std::uint64_t first = 0; first < std::uint64_t(rows.size()); ++first)
            for (std::uint64_t count = 1; count <= std::uint64_t(rows.size()) - first; ++count) {
                std::vector<float> out(count * width), buffer;
                decodeRows(selected, first, count, out);
                for (std::uint64_t i = 0; i < count; ++i)
                    for (std::uint64_t column = 0; column < width; ++column) {
                        const auto row = std::uint64_t(rows[qsizetype(first + i)]);
                        QCOMPARE(
                            out[i * width + column], values[transposed ? column * height + row : row * width + column]);
                    }
                const auto same = rowsOf(selected, first, count, buffer);
                QVERIFY(std::equal(same.begin(), same.end(), out.begin(), out.end()));
            }
        if (!rows.isEmpty())
            QCOMPARE(selected.byteSize(), std::uint64_t(rows.size()) * width * 4);
    }
};

QTEST_APPLESS_MAIN(TestSelectedRows)
#include "tst_selected_rows.moc"
