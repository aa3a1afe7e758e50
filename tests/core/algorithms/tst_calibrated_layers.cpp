// SPDX-License-Identifier: GPL-3.0-or-later
// Layers of the golden set, quantized by everything that needs calibration but gptq alone.
#include "core/algorithms/adaround.h"
#include "core/algorithms/awq.h"
#include "core/algorithms/calibrated_quantization.h"
#include "core/algorithms/grid_choice.h"
#include "core/algorithms/smooth_quant.h"
#include "tests/core/algorithms/golden_inputs.h"

#include <QTest>

#include <regex>

using namespace quantloupe;

namespace {

Quantizer quantizerOf(const std::string& scheme, std::size_t columns)
{
    return Quantizer::create(*Scheme::parse(scheme), columns).value();
}

Result<CalibratedWeights> quantized(const tests::GoldenLayer& layer, const LayerInputs& inputs,
    const std::string& scheme, const CalibrationOptions& options = {})
{
    Progress progress;
    return quantizeWithInputs(layer.weights, layer.rows, *Scheme::parse(scheme), inputs, options, {}, {progress, 0});
}

double largestRelativeDifference(std::span<const float> a, std::span<const float> b)
{
    double largest = 0.0;
    for (std::size_t i = 0; i < b.size(); ++i)
        largest = std::max(largest, std::abs(double(a[i]) - double(b[i])) / (std::abs(double(b[i])) + 1e-12));
    return largest;
}

}  // namespace

class TestCalibratedLayers : public QObject
{
    Q_OBJECT

    // A row per entry of a method; what `count` entries there should be.
    void addEntries(const char* prefix, std::size_t count)
    {
        m_golden.emplace(prefix);
        if (!m_golden->entries.empty() && m_inputs.empty())
            m_inputs = tests::goldenInputs();
        m_met = 0;
        QVERIFY2(m_golden->addRows(count), prefix);
    }
    const nlohmann::json& entry(int index) const { return m_golden->entries[std::size_t(index)]; }
    const tests::GoldenLayer& layerOf(const nlohmann::json& entry) const
    {
        return m_golden->layers.at(entry.at("case"));
    }
    const tests::GoldenInputs& inputsOf(const nlohmann::json& entry) const { return m_inputs.at(entry.at("case")); }

    struct OutputErrors {
        double calibration, evaluation = -1.0;
        double ratio = 0.0, evaluationRatio = 0.0;  ///< to what the original reaches
    };
    OutputErrors errorsOf(const nlohmann::json& entry, std::span<const float> weights) const
    {
        const auto& inputs = inputsOf(entry);
        OutputErrors errors {relativeOutputError(layerOf(entry).weights, weights, inputs.calibration)};
        errors.ratio = errors.calibration / entry.at("metrics").at("orel_calib").get<double>();
        if (!inputs.evaluation.secondMoments.empty()) {
            errors.evaluation = relativeOutputError(layerOf(entry).weights, weights, inputs.evaluation);
            errors.evaluationRatio = errors.evaluation / entry.at("metrics").at("orel_eval").get<double>();
        }
        return errors;
    }
    void meet(const char* what)
    {
        ++m_met;
        if (m_met == int(m_golden->entries.size()))
            qInfo("all %d golden vectors of %s are met", m_met, what);
    }

private Q_SLOTS:
    void leastSquaresAndDescent_data() { addEntries("beat_", 36); }
    void leastSquaresAndDescent()
    {
        QFETCH(const int, index);
        if (index < 0)
            QSKIP("not present: set QUANTLOUPE_GOLDEN");
        const auto& golden = entry(index);
        const std::string method = golden.at("method");
        std::smatch parts;
        QVERIFY(std::regex_match(method, parts, std::regex("beat_wls_(diagH|gptq_act)_(g[0-9]+)_b([0-9])")));
        const std::string scheme = "int" + parts[3].str() + ":" + parts[2].str() + ":asymf:s32";
        const auto& layer = layerOf(golden);
        const LayerInputs& inputs = inputsOf(golden).calibration;
        std::vector<float> weights(layer.weights.size());
        if (parts[1] == "diagH") {
            const Quantizer quantizer = quantizerOf(scheme, layer.columns);
            const auto grids =
                leastSquaresGridsOf(quantizer, layer.weights, layer.rows, meanSquares(inputs), std::stop_token());
            quantizer.fakeQuantize(layer.weights, layer.rows, grids, weights);
        } else {
            auto result = quantized(layer, inputs, scheme + "+cd");
            QVERIFY2(result, result ? "" : describe(result.error()).c_str());
            weights = std::move(result->weights);
        }
        const OutputErrors errors = errorsOf(golden, weights);
        qInfo("output error %.4g: %.4f of the golden one (held out %.4f)", errors.calibration, errors.ratio,
            errors.evaluationRatio);
        QVERIFY(errors.ratio <= 1.02);
        meet("cd");
    }

    void awq_data() { addEntries("awq_lin_g", 12); }
    void awq()
    {
        QFETCH(const int, index);
        if (index < 0)
            QSKIP("not present: set QUANTLOUPE_GOLDEN");
        const auto& golden = entry(index);
        const std::string method = golden.at("method");
        std::smatch parts;
        QVERIFY(std::regex_match(method, parts, std::regex("awq_lin_(g[0-9]+)_b([0-9])")));
        const std::string scheme = "int" + parts[2].str() + ":" + parts[1].str() + ":asym:s32";
        const auto& layer = layerOf(golden);
        const LayerInputs inputs = sampleOnly(inputsOf(golden).calibration);
        const auto found = searchAwqScales(quantizerOf(scheme, layer.columns), layer.weights, layer.rows, inputs, {});
        QVERIFY(found);
        const std::vector<double> losses = golden.at("loss_history");
        double worst = 0.0;
        for (std::size_t i = 0; i < losses.size(); ++i)
            worst = std::max(worst, std::abs(found->losses[i] / losses[i] - 1.0));
        const double scaleDifference =
            largestRelativeDifference(found->scales, m_golden->stored<float>(golden, "scales"));
        const auto result = quantized(layer, inputs, scheme + "+awq");
        QVERIFY(result);
        const double wmse =
            tests::meanSquaredError(layer.weights, result->weights) / golden.at("metrics").at("wmse").get<double>();
        const OutputErrors errors = errorsOf(golden, result->weights);
        qInfo(
            "ratio %.2f (%.2f), scales off by %.1e, losses by %.1e, wmse %.5f and output error %.5f of the golden ones",
            found->ratio, golden.at("best_ratio").get<double>(), scaleDifference, worst, wmse, errors.ratio);
        QCOMPARE(found->ratio, golden.at("best_ratio").get<double>());
        QVERIFY(scaleDifference < 1e-5);
        QVERIFY(worst < (layer.columns == 172 ? 5e-4 : 1e-4));
        QVERIFY(std::abs(wmse - 1.0) < 0.01 || errors.ratio < 1.0);
        QVERIFY(result->transform.columnFactors == found->scales);
        meet("awq");
    }

    void awqWithoutClipping_data() { addEntries("awq_lin_noclip_", 12); }
    void awqWithoutClipping()
    {
        QFETCH(const int, index);
        if (index < 0)
            QSKIP("not present: set QUANTLOUPE_GOLDEN");
        const auto& golden = entry(index);
        const std::string method = golden.at("method");
        std::smatch parts;
        QVERIFY(std::regex_match(method, parts, std::regex("awq_lin_noclip_(g[0-9]+)_b([0-9])")));
        const auto& layer = layerOf(golden);
        CalibrationOptions options;
        options.clip = false;
        const auto result = quantized(layer, sampleOnly(inputsOf(golden).calibration),
            "int" + parts[2].str() + ":" + parts[1].str() + ":asym:s32+awq", options);
        QVERIFY(result);
        const double wmse =
            tests::meanSquaredError(layer.weights, result->weights) / golden.at("metrics").at("wmse").get<double>();
        const OutputErrors errors = errorsOf(golden, result->weights);
        qInfo("wmse %.5f and output error %.5f of the golden ones", wmse, errors.ratio);
        QVERIFY(std::abs(wmse - 1.0) < 0.01);
        meet("awq without clipping");
    }

    void rotatedGptq_data() { addEntries("had_gptq_", 6); }
    void rotatedGptq()
    {
        QFETCH(const int, index);
        if (index < 0)
            QSKIP("not present: set QUANTLOUPE_GOLDEN");
        const auto& golden = entry(index);
        CalibrationOptions options;
        options.factor.byActivity = false;
        const auto result =
            quantized(layerOf(golden), inputsOf(golden).calibration, "int4:channel:asym:s32+hadamard+gptq", options);
        QVERIFY2(result, result ? "" : describe(result.error()).c_str());
        const OutputErrors errors = errorsOf(golden, result->weights);
        qInfo("output error %.6f of the golden one (held out %.6f)", errors.ratio, errors.evaluationRatio);
        QVERIFY(errors.ratio < 1.005 && errors.evaluationRatio < 1.02);
        meet("hadamard and gptq");
    }

    void smooth_data() { addEntries("smoothquant_scale_a0.5", 5); }
    void smooth()
    {
        QFETCH(const int, index);
        if (index < 0)
            QSKIP("not present: set QUANTLOUPE_GOLDEN");
        const auto& golden = entry(index);
        const auto scales = smoothingScales(layerOf(golden).weights, inputsOf(golden).calibration.absMax, 0.5);
        const auto expected = m_golden->stored<float>(golden, "s");
        QCOMPARE(scales.size(), expected.size());
        QVERIFY(largestRelativeDifference(scales, expected) < 1e-5);
        meet("smooth");
    }

    void biasCorrection_data() { addEntries("biascorr_", 5); }
    void biasCorrection()
    {
        QFETCH(const int, index);
        if (index < 0)
            QSKIP("not present: set QUANTLOUPE_GOLDEN");
        const auto& golden = entry(index);
        const auto result = quantized(layerOf(golden), inputsOf(golden).calibration, "int3:channel:asym:s32+biascorr");
        QVERIFY(result);
        const auto expected = m_golden->stored<float>(golden, "b");
        QCOMPARE(result->bias.size(), expected.size());
        for (std::size_t i = 0; i < expected.size(); ++i)
            QVERIFY(std::abs(result->bias[i] - expected[i]) <= 1e-5F * std::abs(expected[i]) + 1e-6F);
        meet("biascorr");
    }

    // What the pull to whole roundings adds is known; what the outputs add depends on inputs that are not stored.
    void learnedRoundingPull()
    {
        const auto misc = tests::golden() / "misc";
        QUANTLOUPE_NEED(misc / "ada_w.npy");
        const auto read = [&](const char* name) { return tests::readNpy(misc / name)->values; };
        const auto weights = read("ada_w.npy"), scales = read("ada_scale.npy"), zeros = read("ada_zero.npy");
        const Quantizer quantizer = quantizerOf("int3:channel:asym:s32", 16);
        std::vector<UnitGrid> grids;
        for (std::size_t r = 0; r < scales.size(); ++r)
            grids.push_back({scales[r], zeros[r]});
        const LayerInputs inputs = tests::inputsOf(read("ada_x.npy"), 16);
        const auto alphas = read("ada_alpha0.npy");
        const auto started = adaRoundStart(quantizer, weights, 8, grids);
        for (std::size_t i = 0; i < alphas.size(); ++i)
            QVERIFY(std::abs(started[i] - alphas[i]) <= 1e-5F * std::abs(alphas[i]) + 2e-5F);
        const auto free = read("ada_grad_it0.npy");
        const AdaRoundOptions options {.iterations = 1000};
        QVERIFY(!adaRoundBeta(0, options));
        const auto own = adaRoundGradient(quantizer, weights, 8, grids, inputs, alphas, std::nullopt, 0.01, 1.0);
        for (const auto& [iteration, file] :
            {std::pair(300, "ada_grad_it300.npy"), std::pair(900, "ada_grad_it900.npy")}) {
            const auto beta = adaRoundBeta(std::size_t(iteration), options);
            QVERIFY(beta);
            const auto pulled = adaRoundGradient(quantizer, weights, 8, grids, inputs, alphas, beta, 0.01, 1.0);
            const auto expected = read(file);
            for (std::size_t i = 0; i < alphas.size(); ++i) {
                const double pull = double(pulled[i]) - double(own[i]), wanted = double(expected[i]) - double(free[i]);
                QVERIFY2(std::abs(pull - wanted) <= 1e-5 * std::abs(wanted) + 1e-6,
                    qPrintable(QString("%1: %2, expected %3").arg(i).arg(pull).arg(wanted)));
            }
        }
    }

    // Against the loss itself, α moved a little to either side.
    void learnedRoundingGradient()
    {
        const tests::MadeUpLayer layer {3, 24};
        for (const char* scheme : {"int3:g8:asym:s32", "int4:channel:sym:s32", "int2:g8:asymf:s32"}) {
            const Quantizer quantizer = quantizerOf(scheme, 24);
            std::vector<UnitGrid> grids(quantizer.gridCount(3));
            quantizer.fit(layer.weights, 3, grids);
            auto alphas = adaRoundStart(quantizer, layer.weights, 3, grids);
            for (std::size_t i = 0; i < alphas.size(); ++i)
                alphas[i] = std::clamp(alphas[i], -1.5F, 1.5F) + 0.3F * float(i % 5) - 0.6F;
            const auto gradient =
                adaRoundGradient(quantizer, layer.weights, 3, grids, layer.inputs, alphas, 4.0, 0.01, 2.0);
            const auto lossAt = [&](std::size_t i, double shift) {
                return learnedRoundingLoss(quantizer, layer, grids, alphas, i, shift);
            };
            double largest = 0.0;
            for (const float value : gradient)
                largest = std::max(largest, double(std::abs(value)));
            for (std::size_t i = 0; i < alphas.size(); ++i) {
                const double slope = (lossAt(i, 1e-4) - lossAt(i, -1e-4)) / 2e-4;
                QVERIFY2(std::abs(slope - double(gradient[i])) <= 2e-3 * std::abs(slope) + 1e-4 * largest,
                    qPrintable(QString("%1 %2: %3, expected %4").arg(scheme).arg(i).arg(gradient[i]).arg(slope)));
            }
        }
    }

    // Better than rounding to nearest on the same grids, on real layers.
    void learnedRounding()
    {
        QUANTLOUPE_NEED(tests::golden() / "index.json");
        m_golden.emplace("beat_");
        if (m_inputs.empty())
            m_inputs = tests::goldenInputs();
        for (const char* name : {"stories_0_wq", "stories_3_w2"}) {
            const auto& layer = m_golden->layers.at(name);
            const LayerInputs& inputs = m_inputs.at(name).calibration;
            const auto error = [&](const char* scheme) {
                const auto result = quantized(layer, inputs, scheme);
                return result ? relativeOutputError(layer.weights, result->weights, inputs) : 1.0;
            };
            const double learned = error("int3:g32:asym:s32+adaround"), gptq = error("int3:g32:asym:s32+gptq");
            const double nearest = error("int3:g32:asym:s32+biascorr");
            qInfo("%s: %.5f, to nearest %.5f, gptq %.5f", name, learned, nearest, gptq);
            QVERIFY(learned < 0.8 * nearest);
        }
    }

private:
    static LayerInputs sampleOnly(LayerInputs inputs)
    {
        inputs.secondMoments.clear();
        inputs.absMean.clear();
        return inputs;
    }

    static double learnedRoundingLoss(const Quantizer& quantizer, const tests::MadeUpLayer& layer,
        std::span<const UnitGrid> grids, std::span<const float> alphas, std::size_t moved, double shift)
    {
        const std::size_t n = layer.columns;
        const bool floating = quantizer.scheme().symmetry == Symmetry::AsymmetricFloat;
        const double lowest = quantizer.scheme().symmetry == Symmetry::Symmetric ? 1.0 : 0.0;
        std::vector<double> errors(alphas.size());
        double pull = 0.0, output = 0.0;
        for (std::size_t i = 0; i < alphas.size(); ++i) {
            const auto& grid = kernels::gridAt(i, {n, quantizer.unitLength(), false}, grids);
            const double alpha = double(alphas[i]) + (i == moved ? shift : 0.0), scale = double(grid.scale);
            const double h = std::clamp(1.2 / (1.0 + std::exp(-alpha)) - 0.1, 0.0, 1.0);
            const double w = double(layer.weights[i]), zero = double(grid.zero);
            // In float, as the algorithm divides: the largest weight of a row lies on a whole step.
            const float position = (floating ? layer.weights[i] - grid.zero : layer.weights[i]) / grid.scale;
            const double floor = double(std::floor(position)) + (floating ? 0.0 : zero);
            const double code = std::clamp(floor + h, lowest, double(quantizer.codeCount() - 1));
            errors[i] = (floating ? scale * code + zero : scale * (code - zero)) - w;
            pull += 1.0 - std::pow(std::abs(2.0 * h - 1.0), 4.0);
        }
        for (std::size_t row = 0; row < errors.size(); row += n)
            for (std::size_t i = 0; i < n; ++i)
                for (std::size_t j = 0; j < n; ++j)
                    output += errors[row + i] * errors[row + j] * layer.inputs.secondMoments[i * n + j];
        return 2.0 * output / double(layer.inputs.tokens) + 0.01 * pull;
    }

    std::optional<tests::GoldenSet> m_golden;
    std::map<std::string, tests::GoldenInputs> m_inputs;
    int m_met = 0;
};

QTEST_APPLESS_MAIN(TestCalibratedLayers)
#include "tst_calibrated_layers.moc"
