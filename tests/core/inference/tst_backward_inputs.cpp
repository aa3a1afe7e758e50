// SPDX-License-Identifier: GPL-3.0-or-later
// Gradients straight through replaced inputs, of every family, against a second implementation that goes scalar by
// scalar; and that what is computed a second time on the way back has the bits of the first time.
#include "core/base/compute_arena.h"
#include "core/inference/backward.h"
#include "tests/core/inference/opened_tiny.h"
#include "tests/core/inference/summed_gradients.h"
#include "tests/core/inference/taped_loss.h"
#include "tests/core/inference/tiny_families.h"
#include "tests/support/text_windows.h"

#include <QTest>

#include <algorithm>
#include <cmath>
#include <mutex>
#include <tuple>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

/// What becomes of a layer's inputs: pressed towards 0 by the largest of the token, which lets all gradients through;
/// cut off at 0.6 of the largest of the call, which does not. Neither jumps, so that float and double stay together.
enum class Change { None, Pressed, Cut };

constexpr double kCut = 0.6;

/// Neighbours differ: of q, k and v, of gate and up.
Change changeOf(const std::string& name)
{
    if (name == "lm_head" || name == "wte" || name == "wpe" || name.ends_with("embed_tokens"))
        return Change::None;
    if (name.ends_with("q_proj") || name.ends_with("v_proj") || name.ends_with("gate_proj") || name.ends_with("w2"))
        return Change::Pressed;
    if (name.ends_with("k_proj") || name.ends_with("w1") || name.ends_with("mlp.gate") || name.ends_with("fc"))
        return name.find(".1.") == std::string::npos ? Change::Cut : Change::None;
    return Change::Cut;  // outputs of attention and feed-forward, fused layers, shared experts
}

template<class Number>
Number pressed(Number x, Number size)
{
    return size > 0 ? x / (Number(1) + Number(0.5) * std::abs(x) / size) : x;
}

std::string nameOf(const Model& model, std::size_t tensor)
{
    auto name = model.tensors[tensor].name;
    name.resize(name.size() - std::string_view(".weight").size());
    return name;
}

std::shared_ptr<const InputReplacer> replacerFor(Change change, std::size_t columns)
{
    InputReplacer replacer;
    if (change == Change::None)
        return nullptr;
    if (change == Change::Pressed) {
        replacer.replace = [columns](std::span<float> rows, const kernels::FiniteRange&) {
            for (std::size_t first = 0; first < rows.size(); first += columns) {
                const auto row = rows.subspan(first, columns);
                const float size = kernels::rangeOf(row).absMax();
                for (auto& value : row)
                    value = pressed(value, size);
            }
        };
        return std::make_shared<const InputReplacer>(std::move(replacer));
    }
    const auto limitOf = [](const kernels::FiniteRange& range) { return float(kCut) * range.absMax(); };
    replacer.needsRange = true;
    replacer.replace = [limitOf](std::span<float> rows, const kernels::FiniteRange& range) {
        for (auto& value : rows)
            value = std::clamp(value, -limitOf(range), limitOf(range));
    };
    replacer.clip = [limitOf](
                        std::span<const float> rows, const kernels::FiniteRange& range, std::span<float> gradient) {
        for (std::size_t i = 0; i < rows.size(); ++i)
            if (std::abs(rows[i]) > limitOf(range))
                gradient[i] = 0.0F;
    };
    return std::make_shared<const InputReplacer>(std::move(replacer));
}

/// Layers of one kind and width share a replacer, and so their inputs.
InputHook replacing(const Model& model)
{
    auto known = std::make_shared<std::map<std::pair<Change, std::size_t>, std::shared_ptr<const InputReplacer>>>();
    return [&model, known](std::size_t tensor) -> Result<std::shared_ptr<const InputReplacer>> {
        const auto columns = std::size_t(matrixShape(model.tensors[tensor].view).columns);
        const auto change = changeOf(nameOf(model, tensor));
        auto& replacer = (*known)[{change, columns}];
        if (!replacer)
            replacer = replacerFor(change, columns);
        return replacer;
    };
}

std::vector<std::uint32_t> tokensOf(const WindowedText& text, const TokenWindow& window)
{
    const auto begin = text.tokens.begin() + std::ptrdiff_t(window.begin);
    return {begin, begin + std::ptrdiff_t(window.length)};
}

/// Largest |input| of each layer in a call. It depends on the layers before, so passes repeat until nothing changes.
std::map<std::string, double> sizesOf(const TinyDecoder& d, const std::vector<std::uint32_t>& tokens)
{
    std::map<std::string, double> sizes, seen;
    SlowForward pass(d, tokens);
    pass.replaceInput = [&](SlowForward::Row row, const std::string& name) {
        double largest = 0.0;
        for (const double value : row)
            largest = std::max(largest, std::abs(value));
        seen[name] = std::max(seen[name], largest);
        const double limit = kCut * sizes[name];
        for (auto& value : row)
            value = changeOf(name) == Change::Pressed ? pressed(value, largest)
                : changeOf(name) == Change::Cut       ? std::clamp(value, -limit, limit)
                                                      : value;
        return row;
    };
    do {
        sizes = std::exchange(seen, {});
        static_cast<void>(pass.logits());
    } while (sizes != seen);
    return sizes;
}

/// Σ −log p of all predictions; the slopes of what is replaced are 1, and 0 of what is cut off.
Taped slowLossOf(const TinyDecoder& d, const WindowedText& text, const TapedWeights& weights)
{
    Taped loss = 0.0;
    for (const auto& window : text.windows) {
        const auto tokens = tokensOf(text, window);
        const auto sizes = sizesOf(d, tokens);
        SlowForwardOf<Taped, TapedWeights> pass(d, tokens, weights);
        pass.replaceInput = [&](std::vector<Taped> row, const std::string& name) {
            double largest = 0.0;
            for (const auto& value : row)
                largest = std::max(largest, std::abs(value.value));
            const double limit = kCut * sizes.at(name);
            for (auto& x : row) {
                if (changeOf(name) == Change::Pressed)
                    x = Taped(pressed(x.value, largest), x, 1.0);
                else if (changeOf(name) == Change::Cut && std::abs(x.value) > limit)
                    x = Taped(std::clamp(x.value, -limit, limit));
            }
            return row;
        };
        const auto logits = pass.logits();
        for (std::size_t t = 0; t + 1 < tokens.size(); ++t) {
            Taped sum = 0.0;
            for (const auto& logit : logits[t])
                sum += exp(logit);
            loss += log(sum) - logits[t][tokens[t + 1]];
        }
    }
    return loss;
}

class TestBackwardInputs : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void initTestCase() { m_families = tinyFamilies(); }

    void straightThrough_data()
    {
        QTest::addColumn<QByteArray>("family");
        for (const auto& [name, family] : m_families)
            QTest::newRow(name.c_str()) << QByteArray(name.c_str());
    }

    void straightThrough()
    {
        QFETCH(const QByteArray, family);
        const auto& d = m_families.at(family.toStdString());
        const OpenedTiny tiny(d);
        const auto text = randomWindows(d.vocabulary, {11, 7}, 5);
        const auto run = [&](unsigned threads, std::map<std::string, std::vector<double>>& gradients) {
            SummedGradients sums(tiny.decoder);
            const BackwardHooks hooks {.inputs = replacing(*tiny.model),
                .loss = crossEntropyLoss(text),
                .sink =
                    [&](const PartGradients& part) {
                        sums.add(part);
                        return Result<void>();
                    },
                .head = true};
            Progress progress;
            const auto result = ComputeArena(threads).execute(
                [&] { return runBackward(tiny.decoder, text, 0, 2, hooks, {}, ProgressShare(progress, 1000)); });
            if (!result)
                qFatal("%s", describe(result.error()).c_str());
            sums.add(result->embedded, text);
            gradients = sums.sums();
            return result->loss;
        };
        std::map<std::string, std::vector<double>> gradients, again;
        const double fast = run(1, gradients);
        QCOMPARE(run(3, again), fast);
        QVERIFY(again == gradients);

        Tape::current() = {};
        const TapedWeights weights;
        const auto loss = slowLossOf(d, text, weights);
        const auto slopes = Tape::current().derive(loss.entry);
        QVERIFY2(std::abs(fast - loss.value) < 1e-5 * loss.value, qPrintable(QString::number(fast - loss.value)));
        for (const auto& [name, tensor] : d.tensors) {
            const auto expected = weights.derivatives(tensor, slopes);
            const auto& found = gradients.at(name);
            double size = 1e-3;
            for (const double value : expected)
                size = std::max(size, std::abs(value));
            for (std::size_t i = 0; i < expected.size(); ++i)
                QVERIFY2(std::abs(found[i] - expected[i]) <= 1e-4 * size,
                    qPrintable(QString("%1[%2]: %3, expected %4 (largest %5)")
                                   .arg(name.c_str())
                                   .arg(i)
                                   .arg(found[i])
                                   .arg(expected[i])
                                   .arg(size)));
        }
        Tape::current() = {};
    }

    void sameBitsAgain_data()
    {
        QTest::addColumn<QByteArray>("family");
        for (const auto* name : {"llama", "gemma2", "qwen3", "qwen2_moe", "mixtral"})
            QTest::newRow(name) << QByteArray(name);
    }

    /// Rounded to few levels, the last bit of an input may decide which: the way back must see the same.
    void sameBitsAgain()
    {
        QFETCH(const QByteArray, family);
        const auto& d = m_families.at(family.toStdString());
        const OpenedTiny tiny(d);
        const auto rounding = std::make_shared<const InputReplacer>(
            InputReplacer {.needsRange = true, .replace = [](std::span<float> rows, const kernels::FiniteRange& range) {
                               const float step = range.absMax() / 7.0F;
                               for (auto& value : rows)
                                   value = std::nearbyint(value / step) * step;
                           }});
        const InputHook inputs = [&](std::size_t tensor) -> Result<std::shared_ptr<const InputReplacer>> {
            const bool stays = tensor == tiny.decoder.head.tensor || tensor == tiny.decoder.embedding;
            return stays ? nullptr : rounding;
        };
        // More than a tile of tokens.
        const auto text = randomWindows(d.vocabulary, {300}, 6);

        using Place = std::tuple<std::size_t, std::uint64_t, std::size_t>;  // tensor, row, token
        std::map<Place, std::vector<float>> seen;
        std::mutex mutex;
        const ForwardHooks hooks {
            .beforeLayer =
                [&](const LayerValues& values) {
                    const std::lock_guard lock(mutex);
                    auto& rows = seen[{values.layer.tensor, values.layer.firstRow, values.firstToken}];
                    for (std::size_t row = 0; row < values.values.rows; ++row)
                        rows.insert(rows.end(), values.values.row(row), values.values.row(row) + values.values.columns);
                },
            .inputs = inputs};
        QVERIFY(ComputeArena(2).execute([&] { return computeLogits(tiny.decoder, text.tokens, hooks, {}); }));
        std::map<std::pair<std::size_t, std::uint64_t>, std::vector<float>> forward, back;
        for (const auto& [place, rows] : seen) {
            auto& all = forward[{std::get<0>(place), std::get<1>(place)}];
            all.insert(all.end(), rows.begin(), rows.end());
        }
        const BackwardHooks backward {
            .inputs = inputs, .loss = crossEntropyLoss(text), .sink = [&](const PartGradients& part) {
                for (const auto& layer : part.sequences.front().layers) {
                    auto& rows = back[{layer.layer.tensor, layer.layer.firstRow}];
                    for (std::size_t row = 0; row < layer.inputs.rows; ++row)
                        rows.insert(rows.end(), layer.inputs.row(row), layer.inputs.row(row) + layer.inputs.columns);
                }
                return Result<void>();
            }};
        Progress progress;
        const auto result = ComputeArena(2).execute(
            [&] { return runBackward(tiny.decoder, text, 0, 1, backward, {}, ProgressShare(progress, 0)); });
        QVERIFY2(result, result ? "" : describe(result.error()).c_str());
        QVERIFY(back.size() >= 2 * 7);
        for (const auto& [place, rows] : back)
            QVERIFY2(rows == forward.at(place), tiny.model->tensors[place.first].name.c_str());
    }

    void refusals()
    {
        const auto& d = m_families.at("llama");
        const OpenedTiny tiny(d);
        auto text = randomWindows(d.vocabulary, {9, 9}, 5);
        Progress progress;
        const auto codeOf = [&](const InputHook& inputs) {
            const BackwardHooks hooks {.inputs = inputs, .loss = crossEntropyLoss(text)};
            const auto result = runBackward(tiny.decoder, text, 0, 2, hooks, {}, ProgressShare(progress, 0));
            return result ? std::nullopt : std::optional(result.error().code);
        };
        QVERIFY(!codeOf(replacing(*tiny.model)));
        QVERIFY(codeOf([](std::size_t) -> Result<std::shared_ptr<const InputReplacer>> {
            return replacerFor(Change::Pressed, 32);
        }) == ErrorCode::Unsupported);  // the head's, too
        text.windowsPerCall = 2;
        QVERIFY(codeOf(replacing(*tiny.model)) == ErrorCode::Unsupported);
    }

private:
    std::map<std::string, TinyDecoder> m_families;
};

}  // namespace

QTEST_APPLESS_MAIN(TestBackwardInputs)
#include "tst_backward_inputs.moc"
