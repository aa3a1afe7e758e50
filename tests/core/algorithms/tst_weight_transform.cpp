// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/algorithms/weight_transform.h"
#include "tests/support/synthetic_layer.h"

#include <QTest>

#include <cmath>

using namespace quantloupe;

class TestWeightTransform : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void identityTouchesNothing()
    {
        const std::vector<float> rows {1, -0.0F, std::nanf(""), 4};
        TransformScratch scratch;
        const WeightTransform none;
        QVERIFY(none.isIdentity());
        QCOMPARE(none.apply(rows, 7, 2, scratch).data(), rows.data());
        QVERIFY(scratch.rows.empty());
    }

    void factorsByHand()
    {
        WeightTransform transform;
        transform.rowFactors = {1, 1, 2, 4};
        transform.columnFactors = {1, 0.5F};
        QVERIFY(!transform.isIdentity());
        std::vector<float> rows {1, 2, 3, 4};
        TransformScratch scratch;
        const auto applied = transform.apply(rows, 2, 2, scratch);  // rows 2 and 3 of the matrix
        QCOMPARE(std::vector<float>(applied.begin(), applied.end()), (std::vector<float> {2, 2, 12, 8}));
        std::vector<float> back(applied.begin(), applied.end());
        transform.undo(back, 2, 2, scratch);
        QCOMPARE(back, rows);
    }

    void comesBack()
    {
        constexpr std::size_t columns = 172;
        const auto rows = tests::syntheticWeights(6, columns, 2);
        for (int kind = 1; kind < 8; ++kind) {
            WeightTransform transform;
            for (std::size_t i = 0; i < 6 && (kind & 1) != 0; ++i)
                transform.rowFactors.push_back(0.3F + float(i));
            for (std::size_t i = 0; i < columns && (kind & 2) != 0; ++i)
                transform.columnFactors.push_back(0.7F + 0.01F * float(i));
            if ((kind & 4) != 0)
                transform.rotation = HadamardRotation::create(columns).value();
            TransformScratch scratch;
            const auto applied = transform.apply(rows, 0, columns, scratch);
            std::vector<float> back(applied.begin(), applied.end());
            QVERIFY(back != rows);
            // Rows one by one are the same bits.
            TransformScratch other;
            for (std::size_t row = 0; row < 6; ++row) {
                const auto one = transform.apply(std::span(rows).subspan(row * columns, columns), row, columns, other);
                QVERIFY(std::equal(one.begin(), one.end(), back.begin() + std::ptrdiff_t(row * columns)));
            }
            transform.undo(back, 0, columns, scratch);
            for (std::size_t i = 0; i < rows.size(); ++i)
                QVERIFY(std::abs(back[i] - rows[i]) < 2e-7F);
        }
    }
};

QTEST_APPLESS_MAIN(TestWeightTransform)
#include "tst_weight_transform.moc"
