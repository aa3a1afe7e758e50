// SPDX-License-Identifier: GPL-3.0-or-later
// What a person is told of a layer's inputs, against plain sums over the same tokens.
#include "core/calibration/input_profile.h"

#include <QTest>

#include <algorithm>
#include <cmath>
#include <random>

using namespace quantloupe;

namespace {

constexpr std::size_t kChannels = 37, kTokens = 501;

/// Tokens of which channel 5 is loud and channel 11 louder still, by a factor.
std::vector<std::vector<float>> tokens(float loudness, unsigned seed)
{
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    std::vector<std::vector<float>> rows(kTokens, std::vector<float>(kChannels));
    for (auto& row : rows)
        for (std::size_t i = 0; i < kChannels; ++i)
            row[i] = normal(random) * (i == 5 ? loudness : i == 11 ? 2.0F * loudness : 1.0F);
    return rows;
}

std::shared_ptr<const InputFigures> figuresOf(const LayerName& layer, const std::vector<std::vector<float>>& rows)
{
    InputFigures figures {.layers = {{layer, ChannelSums::ofOutputs(3)}}, .inputs = ChannelSums::ofInputs(kChannels)};
    for (const auto& row : rows) {
        figures.inputs.add({row.data(), 1, kChannels, kChannels});
        figures.tokenRanges.add(std::abs(
            *std::max_element(row.begin(), row.end(), [](float a, float b) { return std::abs(a) < std::abs(b); })));
    }
    return std::make_shared<const InputFigures>(std::move(figures));
}

double middleOf(std::vector<double> values)
{
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

bool close(double actual, double expected, double within = 1e-6)
{
    return std::abs(actual - expected) <= within * std::abs(expected);
}

}  // namespace

class TestInputProfile : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void figures()
    {
        const auto rows = tokens(10.0F, 3);
        ModelCalibration calibration;
        calibration.set(figuresOf({"down"}, rows));
        const auto profile = inputProfileOf(calibration, "down");
        QVERIFY(profile);
        QCOMPARE(profile->tokens, std::uint64_t(kTokens));
        std::vector<double> largest(kChannels), rms(kChannels), ofTokens;
        for (const auto& row : rows) {
            double most = 0.0;
            for (std::size_t i = 0; i < kChannels; ++i) {
                largest[i] = std::max(largest[i], std::abs(double(row[i])));
                rms[i] += double(row[i]) * double(row[i]) / double(kTokens);
                most = std::max(most, std::abs(double(row[i])));
            }
            ofTokens.push_back(most);
        }
        for (std::size_t i = 0; i < kChannels; ++i) {
            QCOMPARE(double(profile->absMax[i]), largest[i]);
            rms[i] = std::sqrt(rms[i]);
            QVERIFY(close(double(profile->rms[i]), rms[i]));
        }
        QVERIFY(close(profile->medianAbsMax, middleOf(largest)));
        QVERIFY(close(profile->medianRms, middleOf(rms)));
        QVERIFY(close(profile->usualToken, middleOf(ofTokens), 0.03));
        std::sort(ofTokens.begin(), ofTokens.end());
        QVERIFY(close(profile->loudToken, ofTokens[std::size_t(0.99 * double(kTokens))], 0.05));
        QCOMPARE(profile->outliers, (std::vector<std::uint32_t> {11, 5}));
        QVERIFY(close(profile->ratio(11), largest[11] / middleOf(largest)));
        QVERIFY(close(profile->stepsOfUsualChannel(), 127.0 * middleOf(rms) / middleOf(ofTokens), 0.03));
    }

    /// Loud channels take the steps of the others.
    void steps()
    {
        ModelCalibration calibration;
        calibration.set(figuresOf({"quiet"}, tokens(0.5F, 3)));
        calibration.set(figuresOf({"loud"}, tokens(20.0F, 3)));
        const auto quiet = inputProfileOf(calibration, "quiet"), loud = inputProfileOf(calibration, "loud");
        QVERIFY(quiet->outliers.empty());
        QCOMPARE(loud->outliers.size(), std::size_t(2));
        QVERIFY(quiet->stepsOfUsualChannel() > 8.0 * loud->stepsOfUsualChannel());
    }

    /// The tokens of a stack's experts together are those of one layer that saw all of them.
    void experts()
    {
        const auto some = tokens(10.0F, 3), others = tokens(4.0F, 4);
        auto both = some;
        both.insert(both.end(), others.begin(), others.end());
        ModelCalibration calibration;
        calibration.set(figuresOf({"experts", 0U}, some));
        calibration.set(figuresOf({"experts", 3U}, others));
        calibration.set(figuresOf({"experts_of_another", 1U}, tokens(90.0F, 5)));
        calibration.set(figuresOf({"one"}, both));
        const auto stack = inputProfileOf(calibration, "experts"), one = inputProfileOf(calibration, "one");
        QCOMPARE(stack->tokens, one->tokens);
        QCOMPARE(stack->absMax, one->absMax);
        QCOMPARE(stack->outliers, one->outliers);
        QCOMPARE(stack->usualToken, one->usualToken);
        for (std::size_t i = 0; i < kChannels; ++i)
            QVERIFY(close(double(stack->rms[i]), double(one->rms[i])));
    }

    void nothingIsKnown()
    {
        ModelCalibration calibration;
        QVERIFY(!inputProfileOf(calibration, "down"));
        calibration.set(figuresOf({"experts", 2U}, {}));  // no token was routed to it
        QVERIFY(!inputProfileOf(calibration, "experts"));
    }
};

QTEST_APPLESS_MAIN(TestInputProfile)
#include "tst_input_profile.moc"
