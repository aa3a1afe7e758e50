// SPDX-License-Identifier: GPL-3.0-or-later
// One layer changed at a time: the figures of evaluate(), by running only the blocks behind the change.
#include "core/file_formats/file_format.h"
#include "core/inference/variant_divergence.h"
#include "tests/support/golden_tokens.h"
#include "tests/support/text_windows.h"

#include <QTest>

#include <cmath>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

constexpr std::uint64_t kEnough = std::uint64_t {1} << 30U;

WindowedText someText(std::size_t sequences)
{
    auto all = goldenTokens("tok_eval");
    all.resize(std::min(all.size(), sequences));
    auto text = windowsOf(all);
    for (auto& window : text.windows)
        window.firstScored = 40;
    return text;
}

/// The tensors whose name holds `part`, rounded to eighths.
ModelVariant rounded(const Model& model, const std::string& part)
{
    ModelVariant variant;
    for (std::size_t i = 0; i < model.tensors.size(); ++i)
        if (model.tensors[i].name.find(part) != std::string::npos)
            variant.tensors.push_back(i);
    variant.hooks.weights = [tensors = variant.tensors](std::size_t tensor) -> Result<RowReplacer> {
        if (std::find(tensors.begin(), tensors.end(), tensor) == tensors.end())
            return RowReplacer();
        return RowReplacer([](std::uint64_t, std::span<float> rows) {
            for (auto& value : rows)
                value = std::round(value * 8.0F) / 8.0F;
        });
    };
    return variant;
}

}  // namespace

class TestVariantDivergence : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void initTestCase()
    {
        const auto path = corpus() / "llm" / "stories260K" / "hf";
        QUANTLOUPE_NEED(path);
        QUANTLOUPE_NEED(golden() / "tokens");
        m_model = openModel(path).value();
        m_decoder = describeDecoder(*m_model).value();
        for (const char* part :
            {"layers.0.self_attn.q_proj", "layers.2.mlp.up", "layers.4.mlp.down", "embed_tokens", "self_attn"})
            m_variants.push_back(rounded(*m_model, part));
    }

    void figuresAreThoseOfEvaluate()
    {
        const auto text = someText(4);
        const auto found = measured(text, 2);
        QCOMPARE(found.size(), m_variants.size());
        for (std::size_t i = 0; i < m_variants.size(); ++i) {
            Progress progress;
            const auto whole = evaluate(*m_decoder, text, m_variants[i].hooks, {}, {}, progress);
            QVERIFY2(whole, whole ? "" : describe(whole.error()).c_str());
            QVERIFY(whole->divergence->mean > 0.0);
            QCOMPARE(found[i].divergence, *whole->divergence);
        }
    }

    void oneAfterAnotherGivesTheSame()
    {
        const auto text = someText(3);
        Progress progress;
        auto measurer = VariantMeasurer::begin(*m_decoder, text, m_variants.size(), {1, kEnough}, {}, progress);
        QVERIFY(measurer);
        const auto found = measured(text, 1);
        for (std::size_t i = 0; i < m_variants.size(); ++i)
            QCOMPARE(measurer->measure(m_variants[i]).value(), found[i]);
        QVERIFY(progress.doneBytes <= progress.totalBytes);
        QCOMPARE(progress.doneItems.load(), std::uint32_t(m_variants.size()));
        Progress unseen;
        QVERIFY(!VariantMeasurer::begin(*m_decoder, text, 1, {1, 1'000'000}, {}, unseen));
    }

    /// Against windows by themselves.
    void standardErrorIsThatOfWindows()
    {
        constexpr std::size_t count = 6;
        const auto text = someText(count);
        const auto found = measured(text, 1);
        std::vector<double> means;
        for (std::size_t w = 0; w < count; ++w) {
            auto one = text;
            one.windows = {text.windows[w]};
            Progress progress;
            means.push_back(evaluate(*m_decoder, one, m_variants[1].hooks, {}, {}, progress)->divergence->mean);
        }
        double mean = 0.0, squares = 0.0;
        for (const double value : means)
            mean += value / double(count);
        for (const double value : means)
            squares += (value - mean) * (value - mean);
        const double expected = std::sqrt(squares / double(count - 1) / double(count));
        QVERIFY(std::abs(found[1].standardError / expected - 1.0) < 1e-6);
        QCOMPARE(measured(someText(1), 1)[1].standardError, 0.0);
    }

    void threadsDoNotChangeABit()
    {
        const auto text = someText(3);
        QCOMPARE(measured(text, 1), measured(text, 3));
    }

    void tellsHowManyTokensTheMemoryIsFor()
    {
        const auto text = someText(4);
        Progress progress;
        const auto ignored = [](std::size_t, const VariantDivergence&) { return Result<void>(); };
        const auto result = measureVariants(*m_decoder, text, m_variants, {1, 1'000'000}, {}, progress, ignored);
        QVERIFY(!result);
        QCOMPARE(result.error().code, ErrorCode::InvalidArgument);
        QVERIFY(result.error().reason.find("of the 1028 tokens") != std::string::npos);
    }

    void endsWhenItsResultsAreNotWanted()
    {
        Progress progress;
        std::size_t calls = 0;
        const auto full = [&](std::size_t, const VariantDivergence&) -> Result<void> {
            ++calls;
            return failure(ErrorCode::CannotWrite, "study", "the disk is full");
        };
        const auto result = measureVariants(*m_decoder, someText(1), m_variants, {1, kEnough}, {}, progress, full);
        QCOMPARE(result.error().code, ErrorCode::CannotWrite);
        QCOMPARE(calls, std::size_t(1));
        std::stop_source source;
        source.request_stop();
        const auto stopped =
            measureVariants(*m_decoder, someText(1), m_variants, {1, kEnough}, source.get_token(), progress, full);
        QCOMPARE(stopped.error().code, ErrorCode::Cancelled);
    }

private:
    std::vector<VariantDivergence> measured(const WindowedText& text, unsigned threads) const
    {
        std::vector<VariantDivergence> found;
        Progress progress;
        const auto done = measureVariants(*m_decoder, text, m_variants, {threads, kEnough}, {}, progress,
            [&](std::size_t variant, const VariantDivergence& divergence) -> Result<void> {
                if (variant != found.size())
                    return failure(ErrorCode::Conflict, "variant", "out of order");
                found.push_back(divergence);
                return {};
            });
        if (!done || progress.doneBytes != progress.totalBytes)
            return {};
        return found;
    }

    ModelPointer m_model;
    std::optional<Decoder> m_decoder;
    std::vector<ModelVariant> m_variants;
};

QTEST_APPLESS_MAIN(TestVariantDivergence)
#include "tst_variant_divergence.moc"
