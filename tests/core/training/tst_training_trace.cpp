// SPDX-License-Identifier: GPL-3.0-or-later
// What is seen of a training while it runs, what is held out of its text, and what of a recipe it trains.
#include "core/training/training_plan.h"
#include "core/training/training_texts.h"
#include "core/training/training_trace.h"
#include "tests/core/training/tiny_training.h"

#include <QTest>

#include <algorithm>
#include <cmath>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

/// Quantile of few numbers by sorting them, between neighbours in proportion.
double quantile(std::vector<double> values, double q)
{
    std::sort(values.begin(), values.end());
    const double place = q * double(values.size() - 1);
    const auto low = std::size_t(std::floor(place)), high = std::size_t(std::ceil(place));
    return values[low] + ((place - double(low)) * (values[high] - values[low]));
}

bool isClose(double a, double b, double tolerance)
{
    return std::abs(a - b) <= tolerance;
}

}  // namespace

class TestTrainingTrace : public QObject, private TinyTraining
{
    Q_OBJECT

private Q_SLOTS:
    void initTestCase() { open(); }

    void levels_data()
    {
        QTest::addColumn<QByteArray>("scheme");
        QTest::addColumn<int>("rule");
        QTest::addColumn<int>("levels");
        QTest::newRow("sym") << QByteArray("int3:g16") << int(StepRule::Estimated) << 7;
        QTest::newRow("symf") << QByteArray("int3:g16:symf") << int(StepRule::Scale) << 8;
        QTest::newRow("asym") << QByteArray("int3:g16:asym") << int(StepRule::Estimated) << 8;
        QTest::newRow("asymf") << QByteArray("int2:g16:asymf") << int(StepRule::Affine) << 4;
        QTest::newRow("int8") << QByteArray("int8:channel") << int(StepRule::Estimated) << 255;
        QTest::newRow("tensor") << QByteArray("int4:tensor:asym") << int(StepRule::Estimated) << 16;
        QTest::newRow("code book") << QByteArray("nf4:g16") << int(StepRule::Estimated) << 16;
    }

    /// Against places between the levels of each weight's own unit, as the quantizer names them.
    void levels()
    {
        QFETCH(const QByteArray, scheme);
        QFETCH(const int, rule);
        QFETCH(const int, levels);
        auto training =
            begin(scheme.constData(), {.steps = 4, .batch = 2, .learningRate = 0.01, .rule = StepRule(rule)});
        Progress progress;
        QVERIFY(training->run({}, progress));
        for (const auto& matrix : training->student().matrices()) {
            const auto shown = levelHistogram(matrix);
            QVERIFY(shown);
            QCOMPARE(shown->levels.size(), std::size_t(levels));
            QVERIFY(std::is_sorted(shown->levels.begin(), shown->levels.end()));
            const auto& quantizer = matrix.quantizer.quantizer();
            auto counts = std::vector<double>(shown->histogram.counts.size());
            double distances = 0.0;
            for (std::size_t i = 0; i < matrix.weights.values.size(); ++i) {
                const auto row = i / matrix.columns, column = i % matrix.columns;
                const auto& grid = matrix.quantizer.grids()[quantizer.wholeTensor()
                        ? 0
                        : (row * quantizer.unitsPerRow()) + (column / quantizer.unitLength())];
                auto own = quantizer.levels(grid);
                std::sort(own.begin(), own.end());
                const bool symmetric =
                    quantizer.scheme().symmetry == Symmetry::Symmetric && own.size() > std::size_t(levels);
                const double lowest = double(own[symmetric ? 1 : 0]), highest = double(own.back());
                const double weight = double(matrix.weights.values[i]);
                const double place = double(shown->levels.front())
                    + ((weight - lowest) / (highest - lowest) * double(shown->levels.back() - shown->levels.front()));
                const double bin = (place - shown->histogram.low) / shown->histogram.binWidth();
                if (bin >= 0.0 && bin < double(counts.size()))
                    counts[std::size_t(bin)] += 1.0;
                double nearest = 1e9;
                for (const float level : own)
                    nearest = std::min(nearest, std::abs(weight - double(level)));
                distances += nearest / double(grid.scale);
            }
            QCOMPARE(shown->histogram.total(), matrix.weights.values.size());
            double moved = 0.0;  // weights at the edge of a bin, where float and double part
            for (std::size_t bin = 0; bin < counts.size(); ++bin)
                moved += std::abs(counts[bin] - double(shown->histogram.counts[bin]));
            QVERIFY2(moved <= 0.01 * double(matrix.weights.values.size()), qPrintable(QString::number(moved)));
            const double mean = distances / double(matrix.weights.values.size());
            QVERIFY2(isClose(shown->distance, mean, 1e-3 * mean),
                qPrintable(QStringLiteral("%1, not %2").arg(shown->distance).arg(mean)));
        }
    }

    void formatsWithoutScalesShowNothing()
    {
        const auto training = begin("q4_0", {.steps = 1, .batch = 1});
        TrainingTrace trace(training->student());
        QVERIFY(!levelHistogram(training->student().matrices().front()));
        QVERIFY(trace.spreads(0).empty() && !trace.beginning(0));
        trace.note(1, training->student());
        QVERIFY(trace.spreads(0).empty());
    }

    void spreadsOfScales()
    {
        const auto training =
            begin("int3:g16:asymf", {.steps = 6, .batch = 2, .learningRate = 0.02, .rule = StepRule::Affine});
        TrainingTrace trace(training->student());
        const auto scalesOf = [&](std::size_t matrix) {
            std::vector<double> scales;
            for (const auto& grid : training->student().matrices()[matrix].quantizer.grids())
                scales.push_back(double(grid.scale));
            return scales;
        };
        std::vector<std::vector<double>> beginning;
        for (std::size_t i = 0; i < training->student().matrices().size(); ++i)
            beginning.push_back(scalesOf(i));
        for (std::uint64_t step = 1; step <= 3; ++step) {
            QVERIFY(training->step({}));
            trace.note(step, training->student());
        }
        for (std::size_t i = 0; i < beginning.size(); ++i) {
            const auto& spreads = trace.spreads(i);
            QCOMPARE(spreads.size(), std::size_t(4));
            QVERIFY(spreads.front() == StepSpread {});
            auto ratios = scalesOf(i);
            for (std::size_t unit = 0; unit < ratios.size(); ++unit)
                ratios[unit] /= beginning[i][unit];
            QCOMPARE(spreads.back().step, std::uint64_t(3));
            QVERIFY(isClose(spreads.back().p5, quantile(ratios, 0.05), 1e-12));
            QVERIFY(isClose(spreads.back().p25, quantile(ratios, 0.25), 1e-12));
            QVERIFY(isClose(spreads.back().median, quantile(ratios, 0.5), 1e-12));
            QVERIFY(isClose(spreads.back().p75, quantile(ratios, 0.75), 1e-12));
            QVERIFY(isClose(spreads.back().p95, quantile(ratios, 0.95), 1e-12));
            QVERIFY(spreads.back().p5 < spreads.back().p95);
        }
    }

    void holdsOut()
    {
        const auto text = task(20, 12, 3);
        const auto texts = holdOut(text, 25);
        QVERIFY(texts);
        QCOMPARE(texts->text.windows.size(), std::size_t(15));
        QCOMPARE(texts->heldOut.windows.size(), std::size_t(5));
        auto both = texts->text.windows;
        both.insert(both.end(), texts->heldOut.windows.begin(), texts->heldOut.windows.end());
        QVERIFY(both == text.windows);
        QVERIFY(texts->heldOut.tokens == text.tokens);
        QCOMPARE(holdOut(task(3, 12, 3), 10)->heldOut.windows.size(), std::size_t(1));
        QCOMPARE(holdOut(task(1, 12, 3)).error().code, ErrorCode::InvalidArgument);
        QCOMPARE(holdOut(text, 0).error().code, ErrorCode::InvalidArgument);
        QCOMPARE(holdOut(text, 100).error().code, ErrorCode::InvalidArgument);
        auto half = text;
        for (auto& window : half.windows)
            window.firstScored = 6;
        QCOMPARE(scoredWhole(half).scored(), std::size_t(20 * 11));
    }

    void plansBlocksAlone()
    {
        auto recipe = Recipe::uniform(Scheme::parse("int4:g16+gptq").value(), catalogOf(*m_model));
        recipe.keep.clear();
        recipe.rules.push_back(
            {.match = "*q_proj*", .plan = {.weights = Scheme::parse("int8+hqq").value(), .activations = {}}});
        const auto without = withoutAlgorithms(recipe);
        QCOMPARE(without.defaultPlan.weights.toString(), std::string("int4:g16"));
        QCOMPARE(without.rules.front().plan.weights.toString(), std::string("int8"));
        const auto untrained = [this](const Plan& plan) { return Student::untrained(m_decoder, plan); };
        const auto planned = planTraining(*m_model, without, untrained);
        QVERIFY(planned);
        QVERIFY(!planned->kept.empty());
        std::size_t quantized = 0;
        for (const auto& tensor : planned->plan.tensors) {
            const auto& name = m_model->tensors[tensor.tensor].name;
            QVERIFY(!tensor.scheme || name.find("layers.") != std::string::npos);
            quantized += tensor.scheme ? 1 : 0;
        }
        QCOMPARE(quantized, m_decoder.blocks.size() * 7);
        QVERIFY(requireFloatingInputs(planned->plan));
        auto inputs = without;
        inputs.activations = Scheme::parse("int8:token").value();
        const auto rounded = planTraining(*m_model, inputs, untrained);
        QVERIFY(rounded);
        for (const auto& tensor : rounded->plan.tensors)
            QCOMPARE(tensor.activations.has_value(), tensor.scheme.has_value());
        QCOMPARE(requireFloatingInputs(rounded->plan).error().code, ErrorCode::Unsupported);
        inputs.activations = Scheme::parse("int8:channel").value();
        QCOMPARE(planTraining(*m_model, inputs, untrained).error().code, ErrorCode::Unsupported);
    }
};

QTEST_APPLESS_MAIN(TestTrainingTrace)
#include "tst_training_trace.moc"
