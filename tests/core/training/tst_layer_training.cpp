// SPDX-License-Identifier: GPL-3.0-or-later
// The training of one layer: losses and gradients by slow computations, the same bits whatever the threads and stops,
// and codes that stand for what was measured.
#include "core/number_formats/packed_matrix.h"
#include "core/training/epoch_order.h"
#include "core/training/layer_rows.h"
#include "tests/core/training/layer_cases.h"

#include <QTest>

#include <cmath>
#include <set>
#include <thread>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

Scheme schemeOf(const char* text)
{
    return Scheme::parse(text).value();
}

Result<LayerTrainingResult> trained(const LayerToTrain& layer, const char* scheme, const LayerTrainingOptions& options)
{
    Progress progress;
    return trainLayer(layer, schemeOf(scheme), options, {}, {progress, 0});
}

std::unique_ptr<LayerTraining> begun(const LayerToTrain& layer, const char* scheme, const LayerTrainingOptions& options)
{
    Progress progress;
    auto training = LayerTraining::begin(layer, schemeOf(scheme), options, {}, {progress, 0});
    if (!training)
        qFatal("%s", describe(training.error()).c_str());
    return std::move(*training);
}

bool near(double a, double b, double share)
{
    return std::abs(a - b) <= share * std::max(std::abs(a), std::abs(b));
}

bool same(const LayerTrainingResult& a, const LayerTrainingResult& b)
{
    const auto codesOfA = a.layer->quantized(), codesOfB = b.layer->quantized();
    return a.history == b.history && a.trained == b.trained && a.nearest == b.nearest && a.gptq == b.gptq
        && a.start == b.start && a.keptStep == b.keptStep && a.layer->weights == b.layer->weights
        && a.layer->grids == b.layer->grids && codesOfA.codes == codesOfB.codes && codesOfA.packed == codesOfB.packed;
}

}  // namespace

class TestLayerTraining : public QObject
{
    Q_OBJECT
    const LayerCase m_case {.rows = 150, .columns = 64};
    const LayerCase m_small {.rows = 5, .columns = 24};

private Q_SLOTS:
    /// ∂loss/∂Ŵ with codes and grids held still, by differences of the slow loss, for both forms.
    void gradients()
    {
        const auto& layer = m_small;
        const auto n = layer.columns;
        auto quantized = layer.weights;
        for (std::size_t i = 0; i < quantized.size(); ++i)
            quantized[i] += 0.01F * std::sin(float(i));
        std::vector<float> perToken(n * n);
        for (std::size_t i = 0; i < perToken.size(); ++i)
            perToken[i] = float(layer.moments.secondMoments[i] / double(layer.moments.tokens));
        const auto loss = slowLoss(layer.weights, quantized, layer.sample.sample, n);
        for (const bool moments : {false, true}) {
            std::vector<float> gradient(quantized.size());
            for (std::size_t i = 0; i < gradient.size(); ++i)
                gradient[i] = quantized[i] - layer.weights[i];
            const StepInputs inputs {moments
                    ? kernels::ConstMatrix {perToken.data(), n, n, n}
                    : kernels::ConstMatrix {layer.sample.sample.data(), layer.sample.sampleTokens(), n, n},
                moments};
            const auto found = outputGradient(inputs, {gradient.data(), layer.rows, n, n}, {});
            QVERIFY(found && near(*found, loss, 1e-5));
            double largest = 0.0;
            for (const float value : gradient)
                largest = std::max(largest, double(std::abs(value)));
            // The loss is a square: differences of any width give its slope, and wide ones lose nothing to rounding.
            for (std::size_t i = 0; i < gradient.size(); i += 7) {
                constexpr float kWidth = 0.25F;
                const float before = quantized[i];
                quantized[i] = before + kWidth;
                const double above = slowLoss(layer.weights, quantized, layer.sample.sample, n);
                const double up = double(quantized[i]);
                quantized[i] = before - kWidth;
                const double below = slowLoss(layer.weights, quantized, layer.sample.sample, n);
                const double slope = (above - below) / (up - double(quantized[i]));
                quantized[i] = before;
                QVERIFY(std::abs(double(gradient[i]) - slope) < 1e-4 * largest);
            }
        }
    }

    /// With codes held still, Ŵ = s·q + m: what the rule says of scales and minima, with the weights' own share of a
    /// move of their grid, is the slope of the loss.
    void gradientsOfGrids()
    {
        const auto& layer = m_small;
        const auto n = layer.columns;
        auto quantizer =
            TrainedQuantizer::create(schemeOf("int2:g8:asymf:s32"), StepRule::Affine, layer.rows, n).value();
        QVERIFY(quantizer.initialize(layer.weights, std::vector<float>(n, 1.0F), {}));
        std::vector<float> seen(layer.weights.size());
        QVERIFY(quantizer.quantize(layer.weights, seen, {}));
        auto gradient = seen;
        for (std::size_t i = 0; i < gradient.size(); ++i)
            gradient[i] -= layer.weights[i];
        const StepInputs inputs {{layer.sample.sample.data(), layer.sample.sampleTokens(), n, n}, false};
        QVERIFY(outputGradient(inputs, {gradient.data(), layer.rows, n, n}, {}));
        std::vector<float> byGrids(quantizer.parameters().size());
        quantizer.propagate(layer.weights, gradient, byGrids);
        const auto& grids = quantizer.grids();
        double largest = 0.0;
        for (const float value : byGrids)
            largest = std::max(largest, double(std::abs(value)));
        for (std::size_t unit = 0; unit < grids.size(); ++unit)
            for (const bool minimum : {false, true}) {
                const auto lossWith = [&](double shift) {
                    auto moved = seen;
                    for (std::size_t i = unit * 8; i < unit * 8 + 8; ++i)
                        moved[i] +=
                            float(shift * (minimum ? 1.0 : double((seen[i] - grids[unit].zero) / grids[unit].scale)));
                    return slowLoss(layer.weights, moved, layer.sample.sample, n);
                };
                double found = double(byGrids[minimum ? grids.size() + unit : unit]);
                for (std::size_t i = unit * 8; i < unit * 8 + 8; ++i)
                    found += double(gradient[i])
                        * (minimum ? 1.0 : double((layer.weights[i] - grids[unit].zero) / grids[unit].scale));
                QVERIFY(
                    std::abs(found - (lossWith(0.25) - lossWith(-0.25)) / 0.5) < 1e-3 * (largest + std::abs(found)));
            }
    }

    /// Losses of steps and errors of methods are those of the slow computation.
    void losses()
    {
        const auto n = m_case.columns;
        for (const bool moments : {false, true}) {
            const auto training = begun(moments ? m_case.byMoments() : m_case.byTokens(), "int3:g32",
                {.steps = 5,
                    .batch = moments ? std::size_t {256} : m_case.sample.sampleTokens(),
                    .start = LayerStart::Nearest});
            const auto quantizer = Quantizer::create(schemeOf("int3:g32"), n).value();
            std::vector<UnitGrid> grids(quantizer.gridCount(m_case.rows));
            quantizer.fit(m_case.weights, m_case.rows, grids);
            std::vector<float> rounded(m_case.weights.size());
            quantizer.fakeQuantize(m_case.weights, m_case.rows, storedGrids(quantizer.scheme(), grids), rounded);
            const double loss = slowLoss(m_case.weights, rounded, m_case.sample.sample, n);
            const auto step = training->step({});
            QVERIFY(step);
            QVERIFY(near(step->loss, loss, 1e-5));
            QVERIFY(near(training->nearest().training.squared, loss, 1e-5));
            const std::vector<float> nothing(rounded.size());
            const auto half = (m_case.heldOut.sampleTokens() + 1) / 2 * n;
            const auto judging = std::span(m_case.heldOut.sample).subspan(half);
            const double lost = slowLoss(m_case.weights, rounded, judging, n);
            QVERIFY(near(training->nearest().heldOut.squared, lost, 1e-5));
            QVERIFY(
                near(training->nearest().heldOut.relative, lost / slowLoss(m_case.weights, nothing, judging, n), 1e-5));
        }
    }

    /// Both forms descend the same loss.
    void formsAgree()
    {
        const LayerTrainingOptions options {
            .steps = 30, .batch = m_case.sample.sampleTokens(), .start = LayerStart::Nearest};
        const auto tokens = trained(m_case.byTokens(), "int3:g32", options);
        const auto moments = trained(m_case.byMoments(), "int3:g32", options);
        QVERIFY(tokens && moments);
        QVERIFY(!tokens->byMoments && moments->byMoments);
        for (std::size_t i = 0; i < 3; ++i)
            QVERIFY(near(tokens->history.steps[i].loss, moments->history.steps[i].loss, 1e-3));
    }

    void threads_data()
    {
        QTest::addColumn<QByteArray>("scheme");
        QTest::addColumn<int>("rule");
        QTest::addColumn<bool>("moments");
        QTest::newRow("tokens") << QByteArray("int3:g32") << int(StepRule::Estimated) << false;
        QTest::newRow("moments") << QByteArray("int3:g32:asym") << int(StepRule::Estimated) << true;
        QTest::newRow("lsq") << QByteArray("int3:channel:symf") << int(StepRule::Scale) << false;
        QTest::newRow("aff") << QByteArray("int2:g32:asymf") << int(StepRule::Affine) << true;
        QTest::newRow("whole tensor") << QByteArray("int4:tensor") << int(StepRule::Estimated) << false;
        QTest::newRow("scales together") << QByteArray("int4:g32:sym:s8") << int(StepRule::Estimated) << true;
    }

    void threads()
    {
        QFETCH(const QByteArray, scheme);
        QFETCH(const int, rule);
        QFETCH(const bool, moments);
        const auto layer = moments ? m_case.byMoments() : m_case.byTokens();
        LayerTrainingOptions options {
            .steps = 25, .batch = 40, .rule = StepRule(rule), .seed = 7, .evaluateEvery = 5, .threads = 1};
        const auto one = trained(layer, scheme.constData(), options);
        QVERIFY2(one, one ? "" : describe(one.error()).c_str());
        for (const unsigned threads : {2U, 3U}) {
            options.threads = threads;
            const auto more = trained(layer, scheme.constData(), options);
            QVERIFY(more && same(*one, *more));
        }
        if (!moments) {
            options.seed = 8;
            QVERIFY(trained(layer, scheme.constData(), options)->history.steps != one->history.steps);
        }
    }

    /// Stopped anywhere, inside steps too, it goes on with the same bits.
    void stops()
    {
        const LayerCase layer {.rows = 700, .columns = 96};
        for (const char* scheme : {"int3:g32", "int3:tensor"}) {
            const LayerTrainingOptions options {
                .steps = 12, .batch = 64, .start = LayerStart::Nearest, .evaluateEvery = 4, .threads = 2};
            const auto whole = trained(layer.byTokens(), scheme, options);
            QVERIFY(whole);
            const auto training = begun(layer.byTokens(), scheme, options);
            int stopped = 0;
            for (int round = 0; !training->isDone() && round < 10'000; ++round) {
                std::stop_source source;
                if (round == 0)
                    source.request_stop();
                std::jthread later([&, wait = 50 * (1 + round)] {
                    std::this_thread::sleep_for(std::chrono::microseconds(wait));
                    source.request_stop();
                });
                Progress progress;
                const auto run = training->run(source.get_token(), {progress, 12});
                if (!run) {
                    QCOMPARE(run.error().code, ErrorCode::Cancelled);
                    ++stopped;
                }
            }
            Progress progress;
            QVERIFY(training->run({}, {progress, 12}));
            QVERIFY(stopped > 0);
            const auto again = training->result({});
            QVERIFY(again && same(*whole, *again));
        }
    }

    /// Whatever scheme is trained: what is kept is never worse on the deciding tokens than where it began, its codes
    /// stand for the values that were judged, and they lie on grids as stored.
    void schemes_data()
    {
        QTest::addColumn<int>("rule");
        for (const char* scheme : {"int3:g32", "int4:channel:asym", "int2:g32:asymf:s32", "int4:g32:sym:s8",
                 "int8:tensor", "int4:b128x32", "int4:b48x32", "ternary:channel", "fp4_e2m1:g32", "fp8_e4m3:channel",
                 "nf4:g32", "lut3", "pot4", "mxfp4", "nvfp4", "q4_0", "q8_0", "iq4_nl"})
            QTest::addRow("%s", scheme) << int(StepRule::Estimated);
        QTest::addRow("int3:channel:symf") << int(StepRule::Scale);
        QTest::addRow("int3:g32:asymf") << int(StepRule::Affine);
    }

    void schemes()
    {
        QFETCH(const int, rule);
        const auto* scheme = QTest::currentDataTag();
        const auto result = trained(
            m_case.byMoments(), scheme, {.steps = 12, .rule = StepRule(rule), .evaluateEvery = 3, .threads = 2});
        QVERIFY2(result, result ? "" : describe(result.error()).c_str());
        double least = result->history.evaluations.front().deciding.squared;
        std::uint64_t step = 0;
        for (const auto& evaluation : result->history.evaluations)
            if (evaluation.deciding.squared < least) {
                least = evaluation.deciding.squared;
                step = evaluation.step;
            }
        QCOMPARE(result->keptStep, step);
        const auto& layer = *result->layer;
        const auto rows = layer.quantized();
        const auto n = m_case.columns;
        const auto half = (m_case.heldOut.sampleTokens() + 1) / 2 * n;
        const auto tokens = std::span<const float>(m_case.heldOut.sample);
        QVERIFY(near(slowLoss(m_case.weights, rows.values, tokens.first(half), n), least, 1e-4));
        QVERIFY(near(
            slowLoss(m_case.weights, rows.values, tokens.subspan(half), n), result->trained.heldOut.squared, 1e-4));
        std::vector<float> decoded(rows.values.size());
        if (layer.quantizer.hasGrids()) {
            layer.quantizer.decode(rows.codes, m_case.rows, layer.grids, decoded);
            for (const auto code : rows.codes)
                QVERIFY(code < layer.quantizer.codeCount());
        } else {
            layer.quantizer.unpack(rows.packed, m_case.rows, decoded);
        }
        QVERIFY(decoded == rows.values);
        // Scales that are rounded together would be so a second time.
        if (layer.quantizer.scheme().scales == ScaleStorage::Double8)
            return;
        QVERIFY(storedGrids(layer.quantizer.scheme(), layer.grids) == layer.grids);
        const auto bytes = packMatrix(layer.quantizer, layer.weights, m_case.rows, layer.grids);
        QVERIFY(unpackMatrix(layer.quantizer, bytes, m_case.rows) == rows.values);
    }

    void endsEarly()
    {
        const auto result = trained(m_case.byMoments(), "int3:g32",
            {.steps = 400, .learningRate = 0.5, .start = LayerStart::Gptq, .evaluateEvery = 2, .patience = 3});
        QVERIFY(result);
        QVERIFY(result->history.steps.size() < 100);
        QCOMPARE(result->history.evaluations.back().step, result->keptStep + 6);
        QCOMPARE(result->start, LayerStart::Gptq);
        QVERIFY(result->trained.heldOut.squared < result->nearest.heldOut.squared);
    }

    void tellsSteps()
    {
        std::vector<std::uint64_t> steps;
        Progress progress;
        const auto result = trainLayer(m_case.byTokens(), schemeOf("int3:g32"), {.steps = 9, .warmUp = 3}, {},
            {progress, 1'000}, [&](const LayerTrainingStep& step) -> Result<void> {
                steps.push_back(step.step);
                return {};
            });
        QVERIFY(result);
        QCOMPARE(steps.size(), std::size_t {9});
        QCOMPARE(steps.back(), std::uint64_t {8});
        QVERIFY(result->history.steps[0].rate < result->history.steps[2].rate);
        QVERIFY(result->history.steps[8].rate < result->history.steps[4].rate);
        const auto refused = trainLayer(m_case.byTokens(), schemeOf("int3:g32"), {.steps = 9}, {}, {progress, 0},
            [](const LayerTrainingStep&) -> Result<void> { return failure(ErrorCode::CannotWrite, "x", "y"); });
        QVERIFY(!refused && refused.error().code == ErrorCode::CannotWrite);
    }

    void refusals()
    {
        const auto codeOf = [&](LayerToTrain layer, const char* scheme, const LayerTrainingOptions& options) {
            const auto result = trained(layer, scheme, options);
            return result ? ErrorCode::Conflict : result.error().code;
        };
        auto layer = m_case.byTokens();
        QCOMPARE(codeOf(layer, "int3:g32", {.steps = 0}), ErrorCode::InvalidArgument);
        QCOMPARE(codeOf(layer, "int3:g32", {.learningRate = std::nan("")}), ErrorCode::InvalidArgument);
        QCOMPARE(codeOf(layer, "int3:g32", {.rule = StepRule::Affine}), ErrorCode::Unsupported);
        QCOMPARE(codeOf(layer, "q4_0", {.start = LayerStart::Gptq}), ErrorCode::Unsupported);
        QCOMPARE(codeOf(layer, "int4+gptq", {}), ErrorCode::Unsupported);
        layer.rows = 151;
        QCOMPARE(codeOf(layer, "int3:g32", {}), ErrorCode::InvalidArgument);
        layer = m_case.byTokens();
        const LayerInputs empty {.columns = 64};
        layer.heldOut = &empty;
        QCOMPARE(codeOf(layer, "int3:g32", {}), ErrorCode::InvalidArgument);
        const auto one = sampleOf(std::vector<float>(64, 1.0F), 64);
        layer.heldOut = &one;
        QCOMPARE(codeOf(layer, "int3:g32", {}), ErrorCode::InvalidArgument);
        auto broken = m_case.moments;
        broken.secondMoments.pop_back();
        layer = m_case.byMoments();
        layer.training = &broken;
        QCOMPARE(codeOf(layer, "int3:g32", {}), ErrorCode::InvalidArgument);
        broken = m_case.sample;
        broken.sample[5] = std::nanf("");
        layer.training = &broken;
        QCOMPARE(codeOf(layer, "int3:g32", {}), ErrorCode::InvalidArgument);
        auto weights = m_case.weights;
        weights[70] = std::nanf("");
        layer = m_case.byTokens();
        layer.weights = weights;
        QCOMPARE(codeOf(layer, "int3:g32", {}), ErrorCode::InvalidArgument);
    }

    /// Of moments all tokens decide and judge.
    void heldOutMoments()
    {
        const auto held = momentsOf(m_case.heldOut);
        auto layer = m_case.byMoments();
        layer.heldOut = &held;
        const auto result = trained(layer, "int3:g32", {.steps = 4});
        QVERIFY(result);
        QCOMPARE(result->decidingTokens, held.tokens);
        QCOMPARE(result->judgingTokens, held.tokens);
        const double lost = slowLoss(m_case.weights, result->layer->quantized().values, m_case.heldOut.sample, 64);
        QVERIFY(near(result->trained.heldOut.squared, lost, 1e-5));
    }

    void splits()
    {
        const auto split = splitSample(m_case.sample, 0.25);
        QVERIFY(split);
        QCOMPARE(split->training.sampleTokens(), std::size_t {144});
        QCOMPARE(split->heldOut.sampleTokens(), std::size_t {48});
        auto both = split->training.sample;
        both.insert(both.end(), split->heldOut.sample.begin(), split->heldOut.sample.end());
        QVERIFY(both == m_case.sample.sample);
        QVERIFY(!splitSample(m_case.sample, 0.0) && !splitSample(m_case.sample, 1.0) && !splitSample({}, 0.5));
    }

    /// Each round takes every token once, in an order of its own.
    void order()
    {
        std::vector<std::size_t> all;
        for (std::uint64_t step = 0; step < 10; ++step)
            for (const auto index : examplesOfStep(25, 5, step, 3))
                all.push_back(index);
        for (const auto first : {0, 25})
            QCOMPARE(std::set<std::size_t>(all.begin() + first, all.begin() + first + 25).size(), std::size_t {25});
        QVERIFY(!std::equal(all.begin(), all.begin() + 25, all.begin() + 25));
    }
};

QTEST_APPLESS_MAIN(TestLayerTraining)
#include "tst_layer_training.moc"
