// SPDX-License-Identifier: GPL-3.0-or-later
// How soon forward passes, what they are scored by and what calibration gathers notice a stop: counted in
// multiplications, so that a busy machine changes nothing.
#include "core/calibration/calibrate.h"
#include "core/inference/evaluate.h"
#include "core/inference/variant_divergence.h"
#include "tests/core/inference/tiny_decoder.h"
#include "tests/support/counted_products.h"
#include "tests/support/text_windows.h"

#include <QTest>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

constexpr unsigned kThreads = 2;
constexpr std::uint64_t kBetweenLooks = std::uint64_t {1} << 28U;

}  // namespace

class TestStoppedRuns : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void initTestCase()
    {
        QVERIFY(m_folder.isValid());
        // Wide enough that a layer's product with a tile of tokens, and a text's with itself, are cut.
        m_tiny.hidden = 768;
        m_tiny.heads = 6;
        m_tiny.keyValueHeads = 2;
        m_tiny.head = 128;
        m_tiny.turned = 128;
        m_tiny.inner = 3'072;
        m_tiny.vocabulary = 2'500;
        fillTiny(m_tiny);
        for (auto& [name, tensor] : m_tiny.tensors)  // activations of a common size
            if (tensor.shape.size() == 2)
                for (auto& value : tensor.values)
                    value *= 0.1F;
        m_model = openTiny(m_tiny, m_folder.path().toStdString()).value();
        m_decoder = describeDecoder(*m_model).value();
        m_text = randomWindows(m_tiny.vocabulary, {700, 900});
    }

    void soon_data()
    {
        QTest::addColumn<int>("run");
        QTest::newRow("calibrate") << 0;
        QTest::newRow("evaluate") << 1;
        QTest::newRow("variants") << 2;
    }

    void soon()
    {
        QFETCH(const int, run);
        const auto begin = [&](std::uint64_t stopAt) {
            countedProducts.restart(stopAt);
            return run == 0 ? calibrated() : run == 1 ? evaluated() : variants();
        };
        const auto whole = begin(0);
        QVERIFY2(whole, whole ? "" : describe(whole.error()).c_str());
        const auto products = countedProducts.calls.load();
        QVERIFY2(countedProducts.largest <= kBetweenLooks,
            qPrintable(QString("a product of %1 multiplications").arg(countedProducts.largest)));
        for (const std::uint64_t share : {1, 10, 25, 50, 75, 98}) {
            const auto stopped = begin(1 + products * share / 100);
            QVERIFY2(!stopped, qPrintable(QString("stopped at %1 %, and finished").arg(share)));
            QCOMPARE(stopped.error().code, ErrorCode::Cancelled);
            QVERIFY2(countedProducts.afterStop <= kThreads * kBetweenLooks,
                qPrintable(
                    QString("%1 multiplications behind a stop at %2 %").arg(countedProducts.afterStop).arg(share)));
        }
    }

private:
    ForwardHooks halved() const
    {
        return {.weights = [](std::size_t) -> Result<RowReplacer> {
            return RowReplacer([](std::uint64_t, std::span<float> rows) {
                for (auto& value : rows)
                    value *= 0.5F;
            });
        }};
    }

    Result<void> calibrated() const
    {
        auto stream = ResidualStream::inMemory(static_cast<std::size_t>(tokensOf(m_text)), m_decoder->hidden);
        Progress progress;
        return calibrate(
            *m_decoder, m_text, {}, {.threads = kThreads}, {}, stream, [](GatheredInput) -> Result<void> { return {}; },
            countedProducts.source.get_token(), progress);
    }

    Result<void> evaluated() const
    {
        Progress progress;
        const auto done =
            evaluate(*m_decoder, m_text, halved(), {.threads = kThreads}, countedProducts.source.get_token(), progress);
        return done ? Result<void>() : tl::unexpected(done.error());
    }

    Result<void> variants() const
    {
        Progress progress;
        const std::vector<ModelVariant> some {{.tensors = matricesOf(m_decoder->blocks[1]), .hooks = halved()}};
        return measureVariants(*m_decoder, m_text, some, {.threads = kThreads}, countedProducts.source.get_token(),
            progress, [](std::size_t, const VariantDivergence&) -> Result<void> { return {}; });
    }

    QTemporaryDir m_folder;
    TinyDecoder m_tiny;
    ModelPointer m_model;
    std::optional<Decoder> m_decoder;
    WindowedText m_text;
};

QTEST_APPLESS_MAIN(TestStoppedRuns)
#include "tst_stopped_runs.moc"
