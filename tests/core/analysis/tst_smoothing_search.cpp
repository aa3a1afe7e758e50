// SPDX-License-Identifier: GPL-3.0-or-later
// The strength of SmoothQuant behind each norm: as a plain search finds it, and what it does to the whole model.
#include "core/algorithms/smooth_quant.h"
#include "core/analysis/smoothing_search.h"
#include "core/file_formats/file_format.h"
#include "core/inference/evaluate.h"
#include "core/study/known_inputs.h"
#include "tests/core/inference/tiny_families.h"
#include "tests/support/calibrated_study.h"
#include "tests/support/golden_tokens.h"
#include "tests/support/uniform_plan.h"

#include <QTemporaryDir>
#include <QTest>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

/// Rows of `columns` numbers, each rounded to 2^bits − 1 levels of its own largest.
void roundRowsPlainly(std::vector<float>& values, std::size_t columns, float levels)
{
    for (std::size_t row = 0; row < values.size(); row += columns) {
        float largest = 0.0F;
        for (std::size_t i = 0; i < columns; ++i)
            largest = std::max(largest, std::abs(values[row + i]));
        if (largest == 0.0F)
            continue;
        for (std::size_t i = 0; i < columns; ++i)
            values[row + i] = std::nearbyint(values[row + i] / (largest / levels)) * (largest / levels);
    }
}

}  // namespace

class TestSmoothingSearch : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void initTestCase()
    {
        const auto path = corpus() / "llm" / "stories260K" / "hf";
        QUANTLOUPE_NEED(path);
        QUANTLOUPE_NEED(golden() / "results");
        m_plain = openModel(path).value();
        const auto study = std::filesystem::path(m_folder.path().toStdString()) / "calibrated.h5";
        calibrateInto(*m_plain, study);
        if (QTest::currentTestFailed())
            return;
        const auto known = Study::read(study).value();
        m_calibration = known->calibration;
        m_model = std::make_shared<const Model>(withKnownInputs(*m_plain, known, study));
        m_decoder = describeDecoder(*m_model).value();
        m_text = windowsOf(goldenTokens("tok_eval"));
    }

    void aPlainSearchFindsTheSame_data()
    {
        QTest::addColumn<QByteArray>("scheme");
        QTest::addColumn<float>("levels");
        QTest::newRow("W8A8") << QByteArray("int8:channel:sym:s32+smooth/int8:token") << 127.0F;
        QTest::newRow("W4A4") << QByteArray("int4:channel:sym:s32+smooth/int4:token") << 7.0F;
    }

    /// q, k and v of the first and last block, gate and up of the middle one, all in double.
    void aPlainSearchFindsTheSame()
    {
        QFETCH(const QByteArray, scheme);
        QFETCH(const float, levels);
        const auto plan = uniformPlan(*m_model, scheme.toStdString());
        const auto found = searchStrengths(*m_decoder, plan, {}, {});
        QVERIFY2(found, found ? "" : describe(found.error()).c_str());
        QCOMPARE(found->byNorm.size(), std::size_t(10));
        const auto check = [&](const NormLayer& norm, const JoinedLayers& layers) {
            const auto losses = plainLosses(layers, levels);
            const double alpha = found->of(norm.tensor);
            const auto chosen = static_cast<std::size_t>(std::lround(alpha * 20.0));
            const double least = *std::min_element(losses.begin(), losses.end());
            // Ties of rounding fall differently in other arithmetic: as good as the best, not the same place.
            QVERIFY2(losses[chosen] <= 1.002 * least,
                qPrintable(QString("alpha %1: %2, least %3").arg(alpha).arg(losses[chosen]).arg(least)));
            QVERIFY(least < 0.95 * *std::max_element(losses.begin(), losses.end()));
        };
        const auto& blocks = m_decoder->blocks;
        check(blocks.front().attention.norm, blocks.front().attention.queryKeyValue);
        check(blocks[2].feedForward.norm, blocks[2].feedForward.dense->gateUp);
        check(blocks.back().attention.norm, blocks.back().attention.queryKeyValue);
    }

    /// This model's inputs have no outliers: what is closest layer by layer is as good as the usual strength, no
    /// better.
    void divergenceOfTheModel()
    {
        const auto plan = uniformPlan(*m_model, "int4:channel:sym:s32+smooth/int4:token");
        const auto usual = divergence(plan, 0.5), searched = divergence(plan, std::nullopt);
        QVERIFY(usual && searched);
        qInfo("alpha 0.5: %.4f, searched: %.4f", *usual, *searched);
        QVERIFY(*searched < 1.05 * *usual);
        const auto runtime = runtimeModel(*m_model, plan, {}, m_calibration, std::nullopt, {});
        QCOMPARE(runtime->alphas, searchStrengths(*m_decoder, plan, activationRangesOf(m_calibration), {})->byNorm);
        QCOMPARE(runtimeModel(*m_model, plan, {}, m_calibration, 0.25, {})->alphas.begin()->second, 0.25);
        const auto without = uniformPlan(*m_model, "int8/int8:token");
        QVERIFY(runtimeModel(*m_model, without, {}, m_calibration, std::nullopt, {})->alphas.empty());
    }

    void refusals()
    {
        const auto plain = describeDecoder(*m_plain).value();
        const auto plan = uniformPlan(*m_plain, "int8:channel+smooth/int8:token");
        const auto unknown = searchStrengths(plain, plan, {}, {});
        QVERIFY(!unknown && unknown.error().code == ErrorCode::Unsupported);
        QVERIFY(unknown.error().reason.find("calibrate") != std::string::npos);
        std::stop_source stopped;
        stopped.request_stop();
        const auto cancelled = searchStrengths(*m_decoder, plan, {}, stopped.get_token());
        QVERIFY(!cancelled && cancelled.error().code == ErrorCode::Cancelled);
    }

    /// So short a text that some experts see nothing of it: the others decide.
    void expertsWithoutTokensHaveNoSay()
    {
        const QTemporaryDir folder;
        const auto plain = openTiny(tinyFamilies().at("mixtral"), folder.path().toStdString());
        const auto path = std::filesystem::path(folder.path().toStdString()) / "short.h5";
        {
            auto study = Study::open(path, **plain).value();
            Progress progress;
            const auto decoder = describeDecoder(**plain).value();
            QVERIFY(calibrateStudy(*study, decoder, windowsOf({{3, 17}}), "short", {}, {}, progress));
            QVERIFY(study->close().has_value());
        }
        const auto model = std::make_shared<const Model>(withKnownInputs(**plain, Study::read(path).value(), path));
        const auto decoder = describeDecoder(*model).value();
        std::size_t seen = 0, unseen = 0;
        for (const auto tensor : model->quantizableTensors())
            if (model->tensors[tensor].name.find(".w1.") != std::string::npos)
                ++(model->tensors[tensor].inputs->load(0, {}).value()->tokens > 0 ? seen : unseen);
        QVERIFY2(seen > 0 && unseen > 0, qPrintable(QString("%1 seen, %2 not").arg(seen).arg(unseen)));
        const auto plan = uniformPlan(*model, "int8:channel+smooth/int8:token");
        const auto found = searchStrengths(decoder, plan, {}, {});
        QVERIFY2(found, found ? "" : describe(found.error()).c_str());
        QCOMPARE(found->byNorm.size(), std::size_t(4));
    }

private:
    /// Relative squared error of the outputs for every α, computed slowly.
    std::vector<double> plainLosses(const JoinedLayers& layers, float levels) const
    {
        const std::size_t columns = layers.front().inputs;
        const auto inputs = m_model->tensors[layers.front().tensor].inputs->load(0, {}).value();
        std::vector<float> all;
        for (const auto& layer : layers) {
            std::vector<float> weights(layer.outputs * columns);
            decodeRows(m_model->tensors[layer.tensor].view, layer.firstRow, layer.outputs, weights);
            all.insert(all.end(), weights.begin(), weights.end());
        }
        std::vector<double> losses;
        for (int step = 0; step <= 20; ++step) {
            const double alpha = step / 20.0;
            auto weights = all, sample = inputs->sample;
            for (std::size_t i = 0; i < columns; ++i) {
                float largest = 1e-5F;
                for (std::size_t at = i; at < all.size(); at += columns)
                    largest = std::max(largest, std::abs(all[at]));
                const auto scale = float(std::max(
                    std::pow(double(inputs->absMax[i]), alpha) / std::pow(double(largest), 1.0 - alpha), 1e-5));
                for (std::size_t at = i; at < all.size(); at += columns)
                    weights[at] *= scale;
                for (std::size_t at = i; at < sample.size(); at += columns)
                    sample[at] /= scale;
            }
            roundRowsPlainly(weights, columns, levels);
            roundRowsPlainly(sample, columns, levels);
            double error = 0.0, output = 0.0;
            for (std::size_t token = 0; token < sample.size(); token += columns)
                for (std::size_t row = 0; row < all.size(); row += columns) {
                    double wanted = 0.0, made = 0.0;
                    for (std::size_t i = 0; i < columns; ++i) {
                        wanted += double(inputs->sample[token + i]) * double(all[row + i]);
                        made += double(sample[token + i]) * double(weights[row + i]);
                    }
                    error += (made - wanted) * (made - wanted);
                    output += wanted * wanted;
                }
            losses.push_back(error / output);
        }
        return losses;
    }

    std::optional<double> divergence(const Plan& plan, const std::optional<double>& alpha) const
    {
        const auto runtime = runtimeModel(*m_model, plan, {}, m_calibration, alpha, {});
        if (!runtime)
            return std::nullopt;
        Progress progress;
        const auto result = evaluate(*m_decoder, m_text, runtime->hooks, {}, {}, progress);
        return result ? std::optional<double>(result->divergence->mean) : std::nullopt;
    }

    QTemporaryDir m_folder;
    ModelPointer m_plain, m_model;
    ModelCalibration m_calibration;
    std::optional<Decoder> m_decoder;
    WindowedText m_text;
};

QTEST_APPLESS_MAIN(TestSmoothingSearch)
#include "tst_smoothing_search.moc"
