// SPDX-License-Identifier: GPL-3.0-or-later
// Tensors whose layers' inputs are known, as measurements show them.
#include "core/algorithms/calibrated_quantization.h"
#include "core/analysis/analyze.h"
#include "core/analysis/inspect.h"
#include "core/analysis/quantized_weights.h"
#include "core/analysis/weight_quantization.h"
#include "core/recipes/plan.h"
#include "tests/core/algorithms/golden_inputs.h"
#include "tests/core/analysis/synthetic_tensor.h"
#include "tests/core/analysis/tensor_weights.h"

#include <QTest>

#include <tbb/task_arena.h>

#include <numeric>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

constexpr std::size_t kRows = 150, kColumns = 96;  // more than one block of rows

Result<SchemeMeasurement> measured(const ModelTensor& tensor, const char* scheme, const Model* model = nullptr)
{
    Progress progress;
    const auto parsed = Scheme::parse(scheme).value();
    auto all = measureSchemes(tensor, weightsOf(tensor), {&parsed, 1}, {}, progress, model);
    if (!all)
        return tl::unexpected(all.error());
    return all->front();
}

KnownInputsPointer known(std::vector<LayerInputs> slices)
{
    const auto all = std::make_shared<const std::vector<LayerInputs>>(std::move(slices));
    return std::make_shared<const KnownInputs>(KnownInputs {.fingerprint = 7,
        .slices = all->size(),
        .load = [all](std::uint64_t slice, const std::stop_token&) -> Result<std::shared_ptr<const LayerInputs>> {
            return std::shared_ptr<const LayerInputs>(all, &all->at(std::size_t(slice)));
        }});
}

ModelTensor with(const ModelTensor& tensor, KnownInputsPointer inputs)
{
    auto copy = tensor;
    copy.inputs = std::move(inputs);
    return copy;
}

LayerInputs inputsLike(const std::vector<float>& activations)
{
    return inputsOf(activations, kColumns);
}

CalibratedWeights roundedDirectly(
    std::span<const float> weights, std::size_t rows, const char* scheme, const LayerInputs& inputs)
{
    Progress progress;
    return quantizeWithInputs(weights, rows, Scheme::parse(scheme).value(), inputs, {}, {}, {progress, 0}).value();
}

double squaredDistance(std::span<const float> a, std::span<const float> b)
{
    double sum = 0.0;
    for (std::size_t i = 0; i < a.size(); ++i)
        sum += (double(a[i]) - double(b[i])) * (double(a[i]) - double(b[i]));
    return sum;
}

/// Mean over the tokens of |matrix · x − bias|².
double meanOutputEnergy(
    std::span<const float> matrix, std::span<const float> tokens, const std::vector<float>& bias = {})
{
    double sum = 0.0;
    for (std::size_t t = 0; t < tokens.size(); t += kColumns)
        for (std::size_t row = 0; row < matrix.size(); row += kColumns) {
            double output = bias.empty() ? 0.0 : -double(bias[row / kColumns]);
            for (std::size_t i = 0; i < kColumns; ++i)
                output += double(matrix[row + i]) * double(tokens[t + i]);
            sum += output * output;
        }
    return sum / (double(tokens.size()) / kColumns);
}

std::vector<float> difference(std::span<const float> a, std::span<const float> b)
{
    std::vector<float> result(a.size());
    std::transform(a.begin(), a.end(), b.begin(), result.begin(), std::minus<>());
    return result;
}

}  // namespace

class TestCalibratedTensor : public QObject
{
    Q_OBJECT

    const std::vector<float> m_activations = syntheticActivations(400, kColumns, 5);
    const LayerInputs m_inputs = inputsLike(m_activations);
    const SyntheticTensor m_synthetic {kRows, kColumns, llmWeights(kRows, kColumns, 3)};

    ModelTensor calibrated() const { return with(m_synthetic.tensor(), known({m_inputs})); }

private Q_SLOTS:
    void measuresWhatTheAlgorithmsMake_data()
    {
        QTest::addColumn<QByteArray>("scheme");
        for (const char* scheme : {"int4:g32+gptq", "int3:g32:asymf+cd", "int4:channel+awq", "int4:g32+smooth",
                 "int3:g32:asym:mse+hadamard+gptq", "int4:g32:mse+imatrix", "int4:tensor+gptq", "int4:b8x16+gptq",
                 "nf4:g32+gptq", "int3:g32+gptq+biascorr", "int3:g32+qat"})
            QTest::newRow(scheme) << QByteArray(scheme);
    }
    void measuresWhatTheAlgorithmsMake()
    {
        QFETCH(const QByteArray, scheme);
        const auto result = measured(calibrated(), scheme.constData());
        QVERIFY2(result, result ? "" : describe(result.error()).c_str());
        const auto direct = roundedDirectly(m_synthetic.values(), kRows, scheme.constData(), m_inputs);

        QCOMPARE(result->scheme.toString(), Scheme::parse(scheme.constData())->toString());
        QCOMPARE(result->calibration, std::uint64_t(7));
        const double error = squaredDistance(m_synthetic.values(), direct.weights);
        QVERIFY(std::abs(result->error.errorEnergy - error) <= 1e-6 * error);
        const auto lost = difference(m_synthetic.values(), direct.weights);
        const double output = meanOutputEnergy(lost, m_activations, direct.bias);
        QVERIFY(output > 0.0);
        QVERIFY(std::abs(result->outputError.energy - output) <= 1e-4 * output);
        const double signal = meanOutputEnergy(m_synthetic.values(), m_activations);
        QVERIFY(std::abs(result->outputError.signal - signal) <= 1e-4 * signal);
        QCOMPARE(result->outputError.relative(), result->outputError.energy / result->outputError.signal);
    }

    void countsTheCodesThatWereChosen()
    {
        const auto tensor = calibrated();
        const auto scheme = Scheme::parse("int4:g32+gptq").value();
        Progress progress;
        const auto inspected = inspectLayer(tensor, weightsOf(tensor), scheme, {}, progress);
        QVERIFY(inspected);
        const auto direct = roundedDirectly(m_synthetic.values(), kRows, "int4:g32+gptq", m_inputs);
        // int4 sym: levels ascend with the codes.
        std::map<std::uint32_t, std::uint64_t> counts;
        for (const auto code : direct.codes)
            ++counts[code];
        std::vector<std::uint64_t> used;
        for (const auto& [code, count] : counts)
            used.push_back(count);
        auto occupied = inspected->occupancy;
        std::erase(occupied, std::uint64_t(0));
        QCOMPARE(occupied, used);
        QVERIFY(inspected->split);
        const double whole = inspected->split->rounding + inspected->split->clipping;
        QVERIFY(std::abs(whole - inspected->measurement.error.errorEnergy) <= 1e-6 * whole);
    }

    void knowsWhatOutputsLoseWithoutAlgorithms()
    {
        const auto plain = measured(m_synthetic.tensor(), "int4:g32");
        QVERIFY(!plain->outputError.known());
        QCOMPARE(plain->calibration, std::uint64_t(0));
        const auto result = measured(calibrated(), "int4:g32");
        QCOMPARE(result->error, plain->error);
        QVERIFY(result->outputError.known());
        // What gptq is for.
        QVERIFY(measured(calibrated(), "int4:g32+gptq")->outputError.energy < result->outputError.energy);
    }

    void expertsGoByTheirOwnInputs()
    {
        constexpr std::size_t half = kRows / 2;
        const auto other = inputsLike(syntheticActivations(300, kColumns, 11));
        const auto tensor = with(m_synthetic.tensor(), known({m_inputs, other}));
        const auto result = measured(tensor, "int3:g32+gptq");
        const std::span<const float> all(m_synthetic.values());
        const auto first = roundedDirectly(all.first(half * kColumns), half, "int3:g32+gptq", m_inputs);
        const auto second = roundedDirectly(all.subspan(half * kColumns), half, "int3:g32+gptq", other);
        const double error = squaredDistance(all.first(half * kColumns), first.weights)
            + squaredDistance(all.subspan(half * kColumns), second.weights);
        QVERIFY(std::abs(result->error.errorEnergy - error) <= 1e-6 * error);
        QCOMPARE(measured(tensor, "int3:tensor+gptq").error().code, ErrorCode::Unsupported);
    }

    void anExpertThatNobodySawIsRoundedToNearest()
    {
        LayerInputs unseen;
        unseen.columns = kColumns;
        const auto tensor = with(m_synthetic.tensor(), known({unseen}));
        const auto result = measured(tensor, "int4:g32+gptq");
        QVERIFY2(result, result ? "" : describe(result.error()).c_str());
        const double nearest = measured(m_synthetic.tensor(), "int4:g32")->error.errorEnergy;
        QVERIFY(std::abs(result->error.errorEnergy - nearest) <= 1e-6 * nearest);
        QVERIFY(!result->outputError.known());
        const auto corrected = measured(tensor, "int4:g32+gptq+biascorr");
        QVERIFY2(corrected, corrected ? "" : describe(corrected.error()).c_str());
        QCOMPARE(corrected->error, result->error);
    }

    void aTensorWithoutInputsInACalibratedModel()
    {
        Model model;
        model.tensors = {m_synthetic.tensor(), calibrated()};
        const auto result = measured(model.tensors.front(), "int4:g32+gptq", &model);
        QVERIFY2(result, result ? "" : describe(result.error()).c_str());
        QCOMPARE(result->calibration, std::uint64_t(0));
        QCOMPARE(result->error, measured(m_synthetic.tensor(), "int4:g32")->error);
        QCOMPARE(result->scheme.toString(), std::string("int4:g32+gptq"));
        // Nothing is calibrated: refused.
        model.tensors.pop_back();
        QCOMPARE(measured(model.tensors.front(), "int4:g32+gptq", &model).error().code, ErrorCode::Unsupported);
    }

    void inferenceReadsTheSameWeights()
    {
        Model model;
        model.tensors = {calibrated()};
        model.tensors.front().parts.role = TensorRole::Query;
        Plan plan;
        plan.tensors = {PlannedTensor {.tensor = 0, .scheme = Scheme::parse("int4:g32+gptq").value()}};
        const auto hook = quantizedWeights(model, plan, {});
        QVERIFY2(hook, hook ? "" : describe(hook.error()).c_str());
        const auto replacer = (*hook)(0);
        QVERIFY2(replacer, replacer ? "" : describe(replacer.error()).c_str());
        auto rows = m_synthetic.values();
        (*replacer)(0, std::span(rows).first(40 * kColumns));
        (*replacer)(40, std::span(rows).subspan(40 * kColumns));
        QCOMPARE(rows, roundedDirectly(m_synthetic.values(), kRows, "int4:g32+gptq", m_inputs).weights);
    }

    /// What a checkpoint holds are the codes that were chosen, not the nearest ones.
    void checkpointsHoldTheChosenCodes()
    {
        Model model;
        model.tensors = {calibrated()};
        const auto direct = roundedDirectly(m_synthetic.values(), kRows, "int4:g32:s32+gptq", m_inputs);
        const auto weights =
            weightQuantization(model)(0, Scheme::parse("int4:g32:s32+gptq").value(), std::stop_token());
        QVERIFY2(weights, weights ? "" : describe(weights.error()).c_str());
        QVERIFY((*weights)->hasCodes());
        QuantizedRows rows;
        (*weights)->quantize(32, 64, rows);
        const auto chosen = std::span(direct.codes).subspan(32 * kColumns, 64 * kColumns);
        QVERIFY(std::equal(rows.codes.begin(), rows.codes.end(), chosen.begin(), chosen.end()));
        const auto values = std::span(direct.weights).subspan(32 * kColumns, 64 * kColumns);
        QVERIFY(std::equal(rows.values.begin(), rows.values.end(), values.begin(), values.end()));
        const auto scaled = weightQuantization(model)(0, Scheme::parse("int4:g32+awq").value(), std::stop_token());
        QVERIFY(scaled && !(*scaled)->hasCodes());  // its columns were scaled: no codes for the weights themselves
    }

    void threadsDoNotChangeABit()
    {
        const auto on = [&](int threads) {
            tbb::task_arena arena(threads);
            return arena.execute([&] { return measured(calibrated(), "int4:g32+hadamard+gptq").value(); });
        };
        QCOMPARE(on(1), on(4));
    }

    void stops()
    {
        std::stop_source source;
        source.request_stop();
        Progress progress;
        const auto scheme = Scheme::parse("int4:g32+gptq").value();
        const auto tensor = calibrated();
        const auto result = measureSchemes(tensor, weightsOf(tensor), {&scheme, 1}, source.get_token(), progress);
        QCOMPARE(result.error().code, ErrorCode::Cancelled);
    }

    void errorsOfLoadingAreTold()
    {
        auto broken = std::make_shared<KnownInputs>();
        broken->fingerprint = 1;
        broken->load = [](std::uint64_t, const std::stop_token&) -> Result<std::shared_ptr<const LayerInputs>> {
            return failure(ErrorCode::CannotOpen, "inputs of synthetic.weight", "are gone");
        };
        const auto result = measured(with(m_synthetic.tensor(), broken), "int4:g32");
        QCOMPARE(result.error().code, ErrorCode::CannotOpen);
        QCOMPARE(result.error().reason, std::string("are gone"));
    }
};

QTEST_APPLESS_MAIN(TestCalibratedTensor)
#include "tst_calibrated_tensor.moc"
