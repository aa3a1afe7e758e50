// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/calibration/layer_inputs.h"

#include <QTest>

#include <cmath>
#include <functional>
#include <limits>
#include <map>

using namespace quantloupe;

class TestLayerInputs : public QObject
{
    Q_OBJECT

    static LayerInputs good()
    {
        return {2, 4, {8.0, -2.0, -2.0, 1.0}, {0.5F, 0.0F}, {1.0F, 0.25F}, {2.0F, 1.0F}, {1, 2, 3, 4, 5, 6}};
    }

private Q_SLOTS:
    void checks_data()
    {
        QTest::addColumn<QString>("reason");  // empty: fine
        const std::pair<const char*, const char*> rows[] = {{"good", ""}, {"parts left out", ""},
            {"almost symmetric", ""}, {"no columns", "no input channels"}, {"short mean", "the mean holds 1 values"},
            {"endless mean", "not finite"}, {"NaN in sizes", "the mean of |x| holds"}, {"half a token", "whole tokens"},
            {"NaN in the sample", "the sample holds"}, {"few moments", "not 2 × 2"}, {"many moments", "not 2 × 2"},
            {"negative", "channel 1 is not a number of 0 or more"}, {"not symmetric", "channels 0 and 1"},
            {"NaN beside the diagonal", "channels 0 and 1"}};
        for (const auto& [name, reason] : rows)
            QTest::newRow(name) << QString(reason);
    }
    void checks()
    {
        QFETCH(const QString, reason);
        const float nan = std::nanf("");
        const std::map<std::string, std::function<void(LayerInputs&)>> changes {{"good", [](LayerInputs&) {}},
            {"parts left out",
                [](LayerInputs& x) {
                    x = {3, 1};
                }},
            {"almost symmetric", [](LayerInputs& x) { x.secondMoments[1] = -2.0001; }},
            {"no columns", [](LayerInputs& x) { x.columns = 0; }},
            {"short mean", [](LayerInputs& x) { x.mean.pop_back(); }},
            {"endless mean", [](LayerInputs& x) { x.mean[0] = std::numeric_limits<float>::infinity(); }},
            {"NaN in sizes", [nan](LayerInputs& x) { x.absMean[1] = nan; }},
            {"half a token", [](LayerInputs& x) { x.sample.push_back(0.0F); }},
            {"NaN in the sample", [nan](LayerInputs& x) { x.sample[3] = nan; }},
            {"few moments", [](LayerInputs& x) { x.secondMoments.pop_back(); }},
            {"many moments", [](LayerInputs& x) { x.secondMoments.push_back(0.0); }},
            {"negative", [](LayerInputs& x) { x.secondMoments[3] = -1.0; }},
            {"not symmetric", [](LayerInputs& x) { x.secondMoments[1] = 2.0; }},
            {"NaN beside the diagonal", [](LayerInputs& x) { x.secondMoments[2] = std::nan(""); }}};
        LayerInputs inputs = good();
        changes.at(QTest::currentDataTag())(inputs);
        const auto checked = checkLayerInputs(inputs);
        QCOMPARE(checked.has_value(), reason.isEmpty());
        if (!checked) {
            QCOMPARE(checked.error().code, ErrorCode::InvalidArgument);
            QVERIFY2(
                checked.error().reason.find(reason.toStdString()) != std::string::npos, checked.error().reason.c_str());
        }
    }

    void meanSquaresPerToken()
    {
        QCOMPARE(meanSquares(good()), (std::vector<float> {2.0F, 0.25F}));
        QCOMPARE(good().sampleTokens(), std::size_t(3));
    }
};

QTEST_APPLESS_MAIN(TestLayerInputs)
#include "tst_layer_inputs.moc"
