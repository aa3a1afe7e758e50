// SPDX-License-Identifier: GPL-3.0-or-later
// Layers of whole models one by one: on what the original's layers read, each tensor once, and as what is written.
#include "core/algorithms/damped_moments.h"
#include "core/calibration/shared_inputs.h"
#include "core/training/train_layers.h"
#include "tests/core/training/layer_cases.h"
#include "tests/core/training/tiny_training.h"
#include "tests/support/calibration_runs.h"

#include <QTest>

#include <cmath>
#include <set>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

constexpr const char* kScheme = "int3:g16:asymf:s32";

std::vector<float> weightsOf(const ModelTensor& tensor)
{
    std::vector<float> weights(tensor.view.elements());
    decodeRows(tensor.view, 0, matrixShape(tensor.view).rows, weights);
    return weights;
}

LayersTrainingOptions fewSteps()
{
    return {.layer = {.steps = 6, .evaluateEvery = 2, .threads = 2}};
}

}  // namespace

class TestTrainLayers : public QObject
{
    Q_OBJECT
    TinyTraining m_tiny;

    Result<std::vector<TrainedTensor>> train(const LayersTrainingOptions& options, std::stop_token stop = {}) const
    {
        Progress progress;
        return trainLayers(m_tiny.m_decoder, uniformPlan(*m_tiny.m_model, kScheme), m_tiny.m_text, m_tiny.m_heldOut,
            options, stop, progress);
    }

private Q_SLOTS:
    void initTestCase() { m_tiny.open(); }

    /// Errors are those of rows gathered through whole forward passes, computed number by number.
    void onInputsOfTheOriginal()
    {
        std::size_t told = 0, steps = 0;
        Progress progress;
        const auto plan = uniformPlan(*m_tiny.m_model, kScheme);
        const auto trained =
            trainLayers(m_tiny.m_decoder, plan, m_tiny.m_text, m_tiny.m_heldOut, fewSteps(), {}, progress,
                {.afterLayer = [&](const TrainedTensor& one) -> Result<void> {
                     ++told;
                     return steps == one.result.history.steps.size() ? Result<void>() : failure({}, "steps", "missed");
                 },
                    .afterStep = [&](std::size_t, const LayerTrainingStep& step) -> Result<void> {
                        steps = std::size_t(step.step) + 1;
                        return {};
                    }});
        QVERIFY2(trained, trained ? "" : describe(trained.error()).c_str());
        QCOMPARE(told, trained->size());
        QCOMPARE(progress.doneBytes.load(), progress.totalBytes.load());
        QCOMPARE(progress.doneItems.load(), progress.totalItems.load());
        std::set<std::size_t> tensors, matrices;
        for (const auto& block : m_tiny.m_decoder.blocks)
            for (const auto tensor : matricesOf(block))
                matrices.insert(tensor);
        const auto seen = seenLayers(m_tiny.m_decoder, m_tiny.m_text);
        for (const auto& [tensor, result] : *trained) {
            tensors.insert(tensor);
            const auto& stored = m_tiny.m_model->tensors[tensor];
            std::vector<float> tokens;
            for (const auto& row : seen.at(stored.name).inputs)
                tokens.insert(tokens.end(), row.begin(), row.end());
            QCOMPARE(result.trainingTokens, std::uint64_t(tokens.size() / matrixShape(stored.view).columns));
            const double lost = slowLoss(weightsOf(stored), result.layer->quantized().values, tokens,
                std::size_t(matrixShape(stored.view).columns));
            QVERIFY(std::abs(result.trained.training.squared / lost - 1.0) < 1e-3);
        }
        QVERIFY(tensors == matrices);
    }

    void sameBits()
    {
        auto options = fewSteps();
        const auto two = train(options);
        options.layer.threads = 1;
        options.memory *= 2;
        const auto one = train(options);
        QVERIFY(one && two);
        for (std::size_t i = 0; i < one->size(); ++i) {
            QVERIFY((*one)[i].result.layer->weights == (*two)[i].result.layer->weights);
            QVERIFY((*one)[i].result.history == (*two)[i].result.history);
        }
    }

    /// Whoever was stopped between layers goes on with the others.
    void layersKnowNothingOfEachOther()
    {
        const auto all = train(fewSteps());
        QVERIFY(all && all->size() > 3);
        auto rest = uniformPlan(*m_tiny.m_model, kScheme);
        std::erase_if(rest.tensors, [&](const PlannedTensor& planned) {
            return planned.tensor == (*all)[0].tensor || planned.tensor == (*all)[2].tensor;
        });
        Progress progress;
        const auto some =
            trainLayers(m_tiny.m_decoder, rest, m_tiny.m_text, m_tiny.m_heldOut, fewSteps(), {}, progress);
        QVERIFY(some);
        QCOMPARE(some->size() + 2, all->size());
        for (const auto& one : *some) {
            const auto same = std::find_if(
                all->begin(), all->end(), [&](const TrainedTensor& other) { return other.tensor == one.tensor; });
            QVERIFY(same != all->end() && same->result.layer->weights == one.result.layer->weights);
            QVERIFY(same->result.trained == one.result.trained);
        }
    }

    /// Codes of trained tensors, floats that hold the same values, and nothing else of them.
    void asWritten()
    {
        const auto trained = train(fewSteps());
        QVERIFY(trained);
        const auto model = withTrainedLayers(m_tiny.m_decoder, *trained);
        bool asked = false;
        const auto quantization = layersQuantization(m_tiny.m_decoder, *trained,
            [&](std::size_t, const Scheme&, std::stop_token) -> Result<std::shared_ptr<const QuantizedTensor>> {
                asked = true;
                return failure(ErrorCode::Unsupported, "other", "tensor");
            });
        const auto& [tensor, result] = trained->back();
        QVERIFY(weightsOf(model->tensors[tensor]) == result.layer->weights);
        const auto shape = matrixShape(model->tensors[tensor].view);
        const auto expected = result.layer->quantized();
        for (const char* scheme : {kScheme, "fp32"}) {
            const auto codes = quantization(tensor, Scheme::parse(scheme).value(), {});
            QVERIFY2(codes, codes ? "" : describe(codes.error()).c_str());
            QuantizedRows rows;
            (*codes)->quantize(0, std::size_t(shape.rows), rows);
            QVERIFY(rows.values == expected.values && rows.codes == expected.codes);
        }
        const auto refused = quantization(tensor, Scheme::parse("int4").value(), {});
        QVERIFY(!refused && refused.error().code == ErrorCode::Unsupported);
        QVERIFY(!asked);
        QVERIFY(!quantization(m_tiny.m_decoder.head.tensor, Scheme::parse(kScheme).value(), {}));
        QVERIFY(asked);
        const auto outline = layersOutline(m_tiny.m_decoder, uniformPlan(*m_tiny.m_model, kScheme));
        QCOMPARE(outline->tensors[tensor].view.dtype, DType::F32);
    }

    void refusals()
    {
        auto options = fewSteps();
        options.memory = 1'000;
        const auto small = train(options);
        QVERIFY(!small && small.error().code == ErrorCode::InvalidArgument);
        options = fewSteps();
        options.heldOutTokens = 1;
        QVERIFY(!train(options));
        std::stop_source source;
        source.request_stop();
        const auto stopped = train(fewSteps(), source.get_token());
        QVERIFY(!stopped && stopped.error().code == ErrorCode::Cancelled);
        Progress progress;
        const auto nothing =
            trainLayers(m_tiny.m_decoder, Plan {}, m_tiny.m_text, m_tiny.m_heldOut, fewSteps(), {}, progress);
        QVERIFY(!nothing && nothing.error().code == ErrorCode::InvalidArgument);
    }
};

QTEST_APPLESS_MAIN(TestTrainLayers)
#include "tst_train_layers.moc"
