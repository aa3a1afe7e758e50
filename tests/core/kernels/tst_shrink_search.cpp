// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/shrink_search.h"
#include "tests/support/kernel_sweep.h"

#include <initializer_list>
#include <span>
#include <utility>

using namespace quantloupe;
using namespace quantloupe::tests;
using kernels::IntegerRule;

class TestShrinkSearch : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void choosesAsTheReference_data() { addTargetRows({1, 8, 33, 128, 300, 1100, 2500}); }
    void choosesAsTheReference()
    {
        QFETCH(const qint64, target);
        QFETCH(const int, count);
        QFETCH(const int, shift);
        const TargetScope scope(target);
        std::vector<float> shrinks;
        for (int i = 0; i < 80; ++i)
            shrinks.push_back(float(1.0 - i / 100.0));
        for (const auto content : {Content::Weights, Content::Awkward})
            for (const auto rule : {IntegerRule::Symmetric, IntegerRule::SymmetricFull, IntegerRule::Asymmetric,
                     IntegerRule::AsymmetricFloat})
                for (const int bits : {2, 4, 8}) {
                    const Samples samples(2 * count, shift, content, unsigned(bits));
                    const std::span<const float> rows = samples.values();
                    // Longer ones are summed block by block.
                    const std::size_t length = count > 2000 ? std::size_t(count) : 128;
                    const kernels::UnitShape shape {std::size_t(count), std::min(length, std::size_t(count)), false};
                    const kernels::IntegerCodes codes {rule == IntegerRule::Symmetric ? 1.0F : 0.0F,
                        float((1U << unsigned(bits)) - 1U), rule == IntegerRule::AsymmetricFloat};
                    std::vector<UnitGrid> expected(2 * shape.unitsPerRow()), actual(expected);
                    kernels::integerShrinkSearchReference(rows, shape, rule, codes, shrinks, expected);
                    kernels::integerShrinkSearch(rows, shape, rule, codes, shrinks, actual);
                    QVERIFY(actual == expected);
                }
    }

    void choosesAsTheReferenceAmongCloseCosts_data()
    {
        QTest::addColumn<qint64>("target");
        QTest::addColumn<int>("kind");
        const char* names[] = {"bell", "heavy tail", "on a grid", "constant", "far from 0", "one side", "one outlier"};
        for (const auto target : hwy::SupportedAndGeneratedTargets())
            for (int kind = 0; kind < 7; ++kind)
                QTest::addRow("%s, %s", hwy::TargetName(target), names[kind]) << qint64(target) << kind;
    }
    void choosesAsTheReferenceAmongCloseCosts()
    {
        // Bounds rule out nearly all candidates: here many units have two or more that cost almost or just the same.
        QFETCH(const qint64, target);
        QFETCH(const int, kind);
        const TargetScope scope(target);
        std::mt19937 random(7);
        std::normal_distribution<float> bell(0.0F, 0.02F);
        std::student_t_distribution<float> tail(3.0F);
        constexpr std::size_t rows = 16;
        std::vector<float> weights(rows * 1000);
        std::vector<float> shrinks;
        for (int i = 0; i < 100; ++i)
            shrinks.push_back(float(1.0 - i / 100.0));
        for (auto& w : weights) {
            const float values[] = {bell(random), tail(random), float(int(random() % 16) - 7) * 0.125F, -0.3F,
                5.0F + 1e-3F * bell(random), std::abs(bell(random)), random() % 100 == 0 ? 1.0F : bell(random)};
            w = values[kind];
        }
        for (const auto rule :
            {IntegerRule::Symmetric, IntegerRule::SymmetricFull, IntegerRule::Asymmetric, IntegerRule::AsymmetricFloat})
            // Numbers of candidates that fill vectors, and that do not.
            for (const auto& [bits, candidates] : std::initializer_list<std::pair<unsigned, std::size_t>> {
                     {2, 80}, {3, 80}, {4, 80}, {8, 80}, {16, 80}, {4, 1}, {4, 79}, {4, 100}})
                for (const std::size_t length : {16U, 100U, 128U, 1000U}) {
                    const auto tried = std::span(shrinks).first(candidates);
                    const kernels::UnitShape shape {1000, length, false};
                    const kernels::IntegerCodes codes {rule == IntegerRule::Symmetric ? 1.0F : 0.0F,
                        float((1U << bits) - 1U), rule == IntegerRule::AsymmetricFloat};
                    std::vector<UnitGrid> expected(rows * shape.unitsPerRow()), actual(expected);
                    kernels::integerShrinkSearchReference(weights, shape, rule, codes, tried, expected);
                    kernels::integerShrinkSearch(weights, shape, rule, codes, tried, actual);
                    QVERIFY(actual == expected);
                }
    }

    void shrinks()
    {
        // One outlier in a unit of four bits is given up; the search is not a way to write 1.
        std::vector<float> weights(1024), shrinks {1.0F, 0.9F, 0.8F, 0.7F, 0.6F, 0.5F, 0.4F, 0.3F};
        for (std::size_t i = 0; i < weights.size(); ++i)
            weights[i] = std::sin(float(i)) * 0.1F;
        weights[100] = 0.2F;
        UnitGrid grid;
        const kernels::IntegerCodes codes {1.0F, 15.0F, false};
        kernels::integerShrinkSearch(weights, {1024, 1024, false}, IntegerRule::Symmetric, codes, shrinks, {&grid, 1});
        QVERIFY(grid.scale < 0.15F / 7.0F);
    }
};

QTEST_APPLESS_MAIN(TestShrinkSearch)
#include "tst_shrink_search.moc"
