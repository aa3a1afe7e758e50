// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/nearest_level.h"
#include "tests/support/kernel_sweep.h"

using namespace quantloupe;
using namespace quantloupe::tests;

class TestNearestLevel : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void matchesReference_data() { addTargetRows({1, 7, 8, 9, 16, 33, 300}); }
    void matchesReference()
    {
        QFETCH(const qint64, target);
        QFETCH(const int, count);
        QFETCH(const int, shift);
        const TargetScope scope(target);
        Samples samples(std::size_t(count), shift, Content::Awkward);
        for (const std::size_t levels : {1U, 3U, 7U, 15U}) {
            std::vector<float> thresholds(levels);
            for (std::size_t i = 0; i < levels; ++i)
                thresholds[i] = 0.02F * (float(i) - 0.5F * float(levels - 1));
            // Some values exactly on thresholds.
            for (std::size_t i = 0; i < samples.values().size(); i += 3)
                samples.values()[i] = thresholds[i % levels];
            const std::span<const float> values = std::as_const(samples).values();
            std::vector<std::uint32_t> codes(values.size(), 99), expected(values.size());
            kernels::countThresholds(thresholds, values, codes);
            kernels::countThresholdsReference(thresholds, values, expected);
            QVERIFY(codes == expected);
        }
    }

    void countsWhatLiesBelow()
    {
        const std::vector<float> thresholds {-1.0F, 0.0F, 2.0F};
        const std::vector<float> values {-2.0F, -1.0F, -0.5F, 0.0F, 1.0F, 2.0F, 3.0F, std::nanf("")};
        std::vector<std::uint32_t> codes(values.size());
        kernels::countThresholds(thresholds, values, codes);
        QVERIFY((codes == std::vector<std::uint32_t> {0, 0, 1, 1, 2, 2, 3, 1}));
    }
};

QTEST_APPLESS_MAIN(TestNearestLevel)
#include "tst_nearest_level.moc"
