// SPDX-License-Identifier: GPL-3.0-or-later
// How soon the algorithms notice a stop on a layer as wide as those of real models: counted in multiplications, so that
// a busy machine changes nothing. 2^28 of them take about a hundredth of a second.
#include "core/algorithms/banded_product.h"
#include "core/algorithms/calibrated_quantization.h"
#include "core/base/compute_arena.h"
#include "core/base/progress_share.h"
#include "tests/support/counted_products.h"
#include "tests/support/synthetic_activations.h"

#include <QTest>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

constexpr std::size_t kColumns = 2'304, kRows = 256, kSampled = 320;
constexpr unsigned kThreads = 2;

LayerInputs wideInputs()
{
    LayerInputs inputs {.columns = kColumns,
        .tokens = kSampled,
        .mean = std::vector<float>(kColumns),
        .absMean = std::vector<float>(kColumns),
        .absMax = std::vector<float>(kColumns)};
    std::vector<float> sample(kSampled * kColumns);
    for (std::size_t i = 0; i < sample.size(); ++i)
        sample[i] = static_cast<float>(uniform(1, i) - 0.5) * (i % 61 == 0 ? 20.0F : 1.0F);
    for (std::size_t i = 0; i < sample.size(); ++i) {
        const auto column = i % kColumns;
        inputs.mean[column] += sample[i] / float(kSampled);
        inputs.absMean[column] += std::abs(sample[i]) / float(kSampled);
        inputs.absMax[column] = std::max(inputs.absMax[column], std::abs(sample[i]));
    }
    std::vector<float> moments(kColumns * kColumns);
    const kernels::ConstMatrix rows {sample.data(), kSampled, kColumns, kColumns};
    kernels::addProduct(1.0F, rows, kernels::Side::Transposed, rows, kernels::Side::Plain, 0.0F,
        {moments.data(), kColumns, kColumns, kColumns});
    inputs.secondMoments.assign(moments.begin(), moments.end());
    inputs.sample = std::move(sample);
    return inputs;
}

}  // namespace

class TestStoppedAlgorithms : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void initTestCase()
    {
        m_inputs = wideInputs();
        m_momentsOnly = m_inputs;
        m_momentsOnly.sample.clear();
        m_weights.resize(kRows * kColumns);
        for (std::size_t i = 0; i < m_weights.size(); ++i)
            m_weights[i] = static_cast<float>(uniform(2, i) - 0.5);
    }

    void soon_data()
    {
        QTest::addColumn<QByteArray>("scheme");
        QTest::addColumn<bool>("sampled");
        const auto row = [](const char* name, const char* scheme, bool sampled) {
            QTest::newRow(name) << QByteArray(scheme) << sampled;
        };
        row("gptq", "int4:g128+gptq", true);
        row("cd", "int3:g128+cd", true);
        row("awq on a sample", "int4:g128+awq", true);
        row("awq on moments", "int4:g128+awq", false);
        row("awq, whole channels", "int4:channel+awq", true);
        row("awq, whole channels on moments", "int4:channel+awq", false);
        row("adaround", "int4:channel+adaround", true);
        row("rotated", "int4:g128+hadamard+gptq", true);
        row("qat", "int3:g128+qat", false);
    }

    void soon()
    {
        QFETCH(const QByteArray, scheme);
        QFETCH(const bool, sampled);
        const auto wanted = Scheme::parse(scheme.toStdString()).value();
        const auto run = [&](std::uint64_t stopAt) {
            countedProducts.restart(stopAt);
            CalibrationOptions options;
            options.adaRound.iterations = 3;
            options.training = {.rounds = 2, .steps = 3};
            Progress progress;
            ComputeArena arena(kThreads);
            return arena.execute([&] {
                return quantizeWithInputs(m_weights, kRows, wanted, sampled ? m_inputs : m_momentsOnly, options,
                    countedProducts.source.get_token(), {progress, 1});
            });
        };
        const auto whole = run(0);
        QVERIFY2(whole, whole ? "" : describe(whole.error()).c_str());
        const auto products = countedProducts.calls.load();
        QVERIFY(products >= 10);
        QVERIFY2(countedProducts.largest <= productsPerBand,
            qPrintable(QString("a product of %1 multiplications").arg(countedProducts.largest)));
        for (const std::uint64_t share : {1, 3, 10, 30, 60, 90}) {
            const auto stopped = run(1 + products * share / 100);
            QVERIFY2(!stopped, qPrintable(QString("stopped at %1 %, and finished").arg(share)));
            QCOMPARE(stopped.error().code, ErrorCode::Cancelled);
            QVERIFY2(countedProducts.afterStop <= kThreads * productsPerBand,
                qPrintable(
                    QString("%1 multiplications behind a stop at %2 %").arg(countedProducts.afterStop).arg(share)));
        }
    }

private:
    LayerInputs m_inputs, m_momentsOnly;
    std::vector<float> m_weights;
};

QTEST_APPLESS_MAIN(TestStoppedAlgorithms)
#include "tst_stopped_algorithms.moc"
