// SPDX-License-Identifier: GPL-3.0-or-later
// The KL that gradients predict: against sums over single numbers, and against what the original computation gave for
// every layer of a real model.
#include "core/analysis/analyze.h"
#include "core/analysis/quantized_weights.h"
#include "core/calibration/layer_curvature.h"
#include "core/file_formats/file_format.h"
#include "core/statistics/rank_correlation.h"
#include "core/study/calibrate_gradients.h"
#include "core/study/calibrate_study.h"
#include "core/study/known_inputs.h"
#include "tests/core/algorithms/golden_inputs.h"
#include "tests/core/analysis/synthetic_tensor.h"
#include "tests/core/analysis/tensor_weights.h"
#include "tests/support/calibrated_study.h"
#include "tests/support/golden_tokens.h"
#include "tests/support/text_windows.h"
#include "tests/support/uniform_plan.h"

#include <QTemporaryDir>
#include <QTest>

#include <nlohmann/json.hpp>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

constexpr std::size_t kRows = 150, kColumns = 96;  // more than one block of rows

SchemeMeasurement measured(const ModelTensor& tensor, const std::string& scheme)
{
    Progress progress;
    const auto parsed = Scheme::parse(scheme).value();
    return measureSchemes(tensor, weightsOf(tensor), {&parsed, 1}, {}, progress, nullptr).value().front();
}

std::vector<float> normals(std::size_t count, unsigned seed, float size)
{
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0.0F, size);
    std::vector<float> values(count);
    for (auto& value : values)
        value = normal(random);
    return values;
}

/// G of some made-up gradients, and a Fisher diagonal.
LayerCurvature someCurvature(unsigned seed)
{
    LayerCurvature curvature {.outputs = kRows, .columns = kColumns};
    const auto g = normals(70 * kRows, seed, 0.5F);
    curvature.outputMoments.resize(kRows * kRows);
    for (std::size_t i = 0; i < kRows; ++i)
        for (std::size_t j = 0; j < kRows; ++j)
            for (std::size_t t = 0; t < 70; ++t)
                curvature.outputMoments[i * kRows + j] += g[t * kRows + i] * g[t * kRows + j] / 70.0F;
    for (std::size_t i = 0; i < kRows; ++i)
        curvature.outputSquares.push_back(curvature.outputMoments[i * kRows + i]);
    curvature.fisher = normals(kRows * kColumns, seed + 1, 1.0F);
    for (auto& value : curvature.fisher)
        value *= value;
    return curvature;
}

ModelTensor with(const ModelTensor& tensor, std::vector<LayerInputs> inputs, std::vector<LayerCurvature> curvature)
{
    auto copy = tensor;
    const auto all = std::make_shared<const std::vector<LayerInputs>>(std::move(inputs));
    const auto curves = std::make_shared<const std::vector<LayerCurvature>>(std::move(curvature));
    copy.inputs = std::make_shared<const KnownInputs>(KnownInputs {.fingerprint = 7,
        .slices = all->size(),
        .load = [all](std::uint64_t slice, const std::stop_token&) -> Result<std::shared_ptr<const LayerInputs>> {
            return std::shared_ptr<const LayerInputs>(all, &all->at(std::size_t(slice)));
        },
        .loadCurvature = [curves](std::uint64_t slice,
                             const std::stop_token&) -> Result<std::shared_ptr<const LayerCurvature>> {
            if (slice >= curves->size())
                return std::shared_ptr<const LayerCurvature>();
            return std::shared_ptr<const LayerCurvature>(curves, &curves->at(std::size_t(slice)));
        }});
    return copy;
}

/// ½ mean over the tokens of Δyᵀ·G·Δy with Δy = E·x − bias, number by number in double.
double naiveKfac(std::span<const float> errors, std::span<const float> tokens, const LayerCurvature& curvature,
    std::span<const float> bias = {}, bool diagonal = false)
{
    double sum = 0.0;
    std::vector<double> lost(kRows);
    for (std::size_t t = 0; t < tokens.size(); t += kColumns) {
        for (std::size_t row = 0; row < kRows; ++row) {
            lost[row] = bias.empty() ? 0.0 : -double(bias[row]);
            for (std::size_t i = 0; i < kColumns; ++i)
                lost[row] += double(errors[row * kColumns + i]) * double(tokens[t + i]);
        }
        for (std::size_t i = 0; i < kRows; ++i)
            for (std::size_t j = 0; j < kRows; ++j)
                if (!diagonal || i == j)
                    sum += lost[i] * double(curvature.outputMoments[i * kRows + j]) * lost[j];
    }
    return 0.5 * sum / (double(tokens.size()) / kColumns);
}

double naiveFisher(std::span<const float> errors, const LayerCurvature& curvature)
{
    double sum = 0.0;
    for (std::size_t i = 0; i < errors.size(); ++i)
        sum += 0.5 * double(curvature.fisher[i]) * double(errors[i]) * double(errors[i]);
    return sum;
}

bool isNear(double value, double expected, double tolerance = 1e-4)
{
    return std::abs(value - expected) <= tolerance * std::abs(expected);
}

}  // namespace

class TestPredictedDivergence : public QObject
{
    Q_OBJECT
    const std::vector<float> m_weights = normals(kRows * kColumns, 1, 0.05F);
    const std::vector<float> m_tokens = normals(200 * kColumns, 2, 1.0F);

    /// W − Ŵ, and what is added to the outputs.
    struct Lost {
        std::vector<float> errors, bias;
    };
    Lost lostOf(const ModelTensor& tensor, const char* scheme) const
    {
        Model model;
        model.tensors = {tensor};
        const auto hook = quantizedWeights(model, uniformPlan(model, scheme), {}).value();
        const auto replacer = hook(0).value();
        auto quantized = m_weights;
        replacer(0, quantized);
        Lost lost {std::vector<float>(quantized.size()), {replacer.outputBias().begin(), replacer.outputBias().end()}};
        for (std::size_t i = 0; i < quantized.size(); ++i)
            lost.errors[i] = m_weights[i] - quantized[i];
        return lost;
    }

private Q_SLOTS:
    void numberByNumber_data()
    {
        QTest::addColumn<QByteArray>("scheme");
        for (const auto* scheme :
            {"int3:g32:asym", "int4:channel", "nf4:g32", "int3:g32:asym+gptq", "int2:g32:asym+gptq+biascorr"})
            QTest::newRow(scheme) << QByteArray(scheme);
    }

    void numberByNumber()
    {
        QFETCH(const QByteArray, scheme);
        const SyntheticTensor synthetic(kRows, kColumns, m_weights);
        auto curvature = someCurvature(5);
        const auto tensor = with(synthetic.tensor(), {inputsOf(m_tokens, kColumns)}, {curvature});
        const auto [errors, bias] = lostOf(tensor, scheme.constData());
        QCOMPARE(!bias.empty(), scheme.endsWith("biascorr"));
        const auto predicted = measured(tensor, scheme.constData()).predicted;
        QVERIFY(isNear(predicted.kfac, naiveKfac(errors, m_tokens, curvature, bias)));
        QVERIFY(isNear(predicted.fisher, naiveFisher(errors, curvature)));

        // With too many outputs for products between them, and without the weights' own.
        curvature.outputMoments.clear();
        curvature.fisher.clear();
        const auto diagonal = with(synthetic.tensor(), {inputsOf(m_tokens, kColumns)}, {curvature});
        const auto coarse = measured(diagonal, scheme.constData()).predicted;
        QVERIFY(isNear(coarse.kfac, naiveKfac(errors, m_tokens, someCurvature(5), bias, true)));
        QCOMPARE(coarse.fisher, -1.0);
    }

    /// Weights that rounding keeps cost nothing, and what is not known is said to be so.
    void ends()
    {
        const SyntheticTensor kept(kRows, kColumns, std::vector<float>(kRows * kColumns, 0.5F), DType::BF16);
        const auto inputs = inputsOf(m_tokens, kColumns);
        const auto none = measured(with(kept.tensor(), {inputs}, {someCurvature(5)}), "fp16").predicted;
        QCOMPARE(none.kfac, 0.0);
        QCOMPARE(none.fisher, 0.0);
        auto noMoments = inputs;
        noMoments.secondMoments.clear();
        const auto half = measured(with(kept.tensor(), {noMoments}, {someCurvature(5)}), "int3:g32").predicted;
        QCOMPARE(half.kfac, -1.0);
        QVERIFY(half.fisher >= 0.0);
        const auto unknown = measured(with(kept.tensor(), {inputs}, {}), "int3:g32").predicted;
        QCOMPARE(unknown.kfac, -1.0);
        QCOMPARE(unknown.fisher, -1.0);
    }

    /// All layers of a real model against the original computation, and against what each really costs.
    void golden()
    {
        const auto llm = corpus() / "llm" / "stories260K" / "hf";
        QUANTLOUPE_NEED(llm);
        QUANTLOUPE_NEED(tests::golden() / "results" / "proxy_values.json");
        const auto model = openModel(llm).value();
        const auto decoder = describeDecoder(*model).value();
        const auto sequences = goldenTokens("tok_calib");
        QCOMPARE(sequences.size(), std::size_t(16));
        const auto inputs = calibrationWindows();
        const QTemporaryDir folder;
        const auto path = std::filesystem::path(folder.filePath("s.h5").toStdString());
        const auto study = Study::open(path, *model).value();
        Progress progress;
        QVERIFY(calibrateStudy(*study, decoder, inputs, "tok_calib", {}, {}, progress));
        const auto taken =
            calibrateGradients(*study, decoder, windowsOf(sequences), "tok_calib", {.tokens = 16 * 257}, {}, progress);
        QVERIFY2(taken, taken ? "" : describe(taken.error()).c_str());
        QCOMPARE(*taken, std::size_t(36));
        const auto known = withKnownInputs(*model, study->snapshot(), path);

        const auto values = nlohmann::json::parse(contentOf(tests::golden() / "results" / "proxy_values.json"));
        const auto truths =
            nlohmann::json::parse(contentOf(tests::golden() / "results" / "sensitivity_single_layer.json"));
        for (const char* bits : {"4", "3", "2"}) {
            const auto key = std::string("rtn_asym|32|") + bits;
            std::vector<double> kfac, fisher, truth;
            for (const auto& [layer, expected] : values.at(key).items()) {
                const auto part = layer.substr(2);
                const auto name = goldenTensor(layer);
                const auto scheme = std::string("int") + bits + (part == "w2" ? ":g43" : ":g32") + ":asym:s32";
                const auto predicted = measured(known.tensors[*known.find(name)], scheme).predicted;
                QVERIFY2(isNear(predicted.kfac, expected.at("kfac"), 2e-3),
                    qPrintable(QString("%1: %2, expected %3")
                                   .arg(name.c_str())
                                   .arg(predicted.kfac)
                                   .arg(expected.at("kfac").get<double>())));
                QVERIFY2(isNear(predicted.fisher, expected.at("fisher_diag"), 2e-3),
                    qPrintable(QString("%1: %2, expected %3")
                                   .arg(name.c_str())
                                   .arg(predicted.fisher)
                                   .arg(expected.at("fisher_diag").get<double>())));
                kfac.push_back(predicted.kfac);
                fisher.push_back(predicted.fisher);
                truth.push_back(truths.at(key).at(layer).at(0));
            }
            QCOMPARE(truth.size(), std::size_t(35));
            const double byKfac = rankCorrelation(kfac, truth), byFisher = rankCorrelation(fisher, truth);
            qInfo("int%s: rank correlation with the measured KL %.3f (K-FAC), %.3f (Fisher)", bits, byKfac, byFisher);
            QVERIFY(byKfac > 0.9 && byFisher > 0.93);
        }
    }
};

QTEST_APPLESS_MAIN(TestPredictedDivergence)
#include "tst_predicted_divergence.moc"
