// SPDX-License-Identifier: GPL-3.0-or-later
// Replaced inputs and caches reach every layer of every family as a second, slow implementation has them.
#include "core/inference/evaluate.h"
#include "tests/core/inference/tiny_families.h"

#include <tbb/task_arena.h>

#include <QTest>

#include <list>
#include <mutex>
#include <set>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

/// What becomes of a layer's inputs. Smooth, so that float and double stay together.
enum class Change { None, ByToken, ByCall };

/// Neighbours differ: of q, k and v, of gate and up.
Change changeOf(const std::string& name)
{
    if (name.ends_with("q_proj") || name.ends_with("v_proj") || name.ends_with("gate_proj") || name.ends_with("w2"))
        return Change::ByToken;
    if (name.ends_with("k_proj") || name.ends_with("w1") || name.ends_with("mlp.gate") || name.ends_with("fc"))
        return name.find(".1.") == std::string::npos ? Change::ByCall : Change::None;
    return Change::ByCall;  // outputs of attention and feed-forward, fused layers, the head, shared experts
}

template<class Number>
Number squeezed(Number x, Number size)
{
    return size > 0 ? x / (Number(1) + Number(0.5) * std::abs(x) / size) : x;
}

template<class Numbers>
auto largestOf(const Numbers& numbers)
{
    typename std::remove_cvref_t<decltype(numbers[0])> largest = 0;
    for (const auto number : numbers)
        largest = std::max(largest, std::abs(number));
    return largest;
}

/// Each `columns` numbers by their largest.
void squeezeRows(std::span<float> rows, std::size_t columns)
{
    for (std::size_t first = 0; first < rows.size(); first += columns) {
        const auto row = rows.subspan(first, columns);
        const float size = largestOf(row);
        for (auto& value : row)
            value = squeezed(value, size);
    }
}

ForwardHooks replacing(const Model& model)
{
    ForwardHooks hooks;
    hooks.inputs = [&model](std::size_t tensor) -> Result<std::shared_ptr<const InputReplacer>> {
        auto name = model.tensors[tensor].name;
        name.resize(name.size() - std::string_view(".weight").size());
        static std::map<std::pair<Change, std::size_t>, std::shared_ptr<const InputReplacer>> known;
        const auto columns = std::size_t(matrixShape(model.tensors[tensor].view).columns);
        auto& replacer = known[{changeOf(name), columns}];
        if (changeOf(name) == Change::ByToken && !replacer)
            replacer = std::make_shared<const InputReplacer>(
                InputReplacer {.replace = [columns](std::span<float> rows, const kernels::FiniteRange&) {
                    squeezeRows(rows, columns);
                }});
        if (changeOf(name) == Change::ByCall && !replacer)
            replacer = std::make_shared<const InputReplacer>(InputReplacer {
                .needsRange = true, .replace = [](std::span<float> rows, const kernels::FiniteRange& range) {
                    for (auto& value : rows)
                        value = squeezed(value, range.absMax());
                }});
        return replacer;
    };
    hooks.cache = [](std::size_t headDimension) -> Result<CacheReplacer> {
        return CacheReplacer([headDimension](std::span<float> heads) { squeezeRows(heads, headDimension); });
    };
    return hooks;
}

/// The slow implementation of one call of several sequences. What a layer sees of a call depends on the layers before
/// it, so the passes are repeated until no size changes any more.
class SlowCall
{
public:
    SlowCall(const TinyDecoder& d, const std::vector<std::vector<std::uint32_t>>& sequences, bool changes = true)
    {
        for (const auto& tokens : sequences)
            addPass(d, tokens, changes);
        do {
            m_sizes = std::exchange(m_seen, {});
            logits.clear();
            streams.clear();
            for (const auto& pass : m_passes)
                logits.push_back(pass.logits());
        } while (m_sizes != m_seen);
    }

    std::vector<SlowForward::Rows> logits;                          ///< per sequence
    std::map<std::size_t, std::vector<SlowForward::Rows>> streams;  ///< by depth, per sequence

private:
    void addPass(const TinyDecoder& d, const std::vector<std::uint32_t>& tokens, bool changes)
    {
        auto& pass = m_passes.emplace_back(d, tokens);
        pass.watchStream = [this](std::size_t depth, const SlowForward::Rows& rows) { streams[depth].push_back(rows); };
        if (!changes)
            return;
        pass.replaceHead = [](SlowForward::Row head) {
            const double size = largestOf(head);
            for (auto& value : head)
                value = squeezed(value, size);
            return head;
        };
        pass.replaceInput = [this](SlowForward::Row row, const std::string& name) {
            const auto change = changeOf(name);
            double size = largestOf(row);
            if (change == Change::ByCall) {
                m_seen[name] = std::max(m_seen[name], size);
                size = m_sizes[name];
            }
            if (change != Change::None)
                for (auto& value : row)
                    value = squeezed(value, size);
            return row;
        };
    }

    std::list<SlowForward> m_passes;
    std::map<std::string, double> m_sizes, m_seen;
};

std::vector<std::uint32_t> randomTokens(std::size_t count, std::size_t vocabulary)
{
    std::mt19937 random(5);
    std::vector<std::uint32_t> tokens(count);
    for (auto& token : tokens)
        token = std::uint32_t(random() % vocabulary);
    return tokens;
}

double relativeDifference(const std::vector<float>& logits, const SlowForward::Rows& expected)
{
    double largest = 0.0, size = 0.0;
    for (std::size_t i = 0; i < logits.size(); ++i) {
        const double value = expected[i / expected[0].size()][i % expected[0].size()];
        const double difference = std::abs(double(logits[i]) - value);
        largest = difference <= largest ? largest : difference;  // NaN counts
        size = std::max(size, std::abs(value));
    }
    return largest / size;
}

}  // namespace

class TestInputReplacement : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void initTestCase() { m_families = tinyFamilies(); }

    void families_data()
    {
        QTest::addColumn<QByteArray>("family");
        QTest::addColumn<int>("tokens");
        for (const auto& [name, family] : m_families)
            QTest::newRow(name.c_str()) << QByteArray(name.c_str()) << 15;
        // More than a tile, so that ranges of tiles meet.
        QTest::newRow("llama, two tiles") << QByteArray("llama") << 131;
    }

    void families()
    {
        QFETCH(const QByteArray, family);
        QFETCH(const int, tokens);
        const auto& d = m_families.at(family.toStdString());
        const QTemporaryDir folder;
        const auto model = openTiny(d, folder.path().toStdString());
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        const auto decoder = describeDecoder(**model);
        QVERIFY(decoder);
        const auto text = randomTokens(std::size_t(tokens), d.vocabulary);
        const auto run = [&](int threads) {
            tbb::task_arena arena(threads);
            return arena.execute([&] { return computeLogits(*decoder, text, replacing(**model), {}); });
        };
        const auto logits = run(1);
        QVERIFY2(logits, logits ? "" : describe(logits.error()).c_str());
        const SlowCall expected(d, {text});
        const double difference = relativeDifference(*logits, expected.logits[0]);
        QVERIFY2(difference < 2e-5, qPrintable(QString::number(difference)));
        // It is no small change that is being compared.
        QVERIFY(relativeDifference(*logits, SlowForward(d, text).logits()) > 0.01);
        QCOMPARE(*run(2), *logits);
    }

    void callsAndDepth_data()
    {
        QTest::addColumn<int>("windows");
        QTest::newRow("one window in a call") << 1;
        QTest::newRow("three, of four") << 3;
        QTest::newRow("more than there are") << 100;
    }

    /// Ranges reach over the windows of a call, and errors are those of the residual streams.
    void callsAndDepth()
    {
        QFETCH(const int, windows);
        constexpr std::size_t length = 12;
        const auto& d = m_families.at("qwen3_moe");
        const QTemporaryDir folder;
        const auto model = openTiny(d, folder.path().toStdString());
        QVERIFY(model);
        const auto decoder = describeDecoder(**model);
        QVERIFY(decoder);
        auto text = cutWindows(randomTokens(4 * length, d.vocabulary), std::nullopt, length, std::nullopt).value();
        text.windowsPerCall = std::size_t(windows);
        Progress progress;
        const auto result = evaluate(*decoder, text, replacing(**model), {}, {}, progress);
        QVERIFY2(result, result ? "" : describe(result.error()).c_str());

        std::vector<DepthError> depth(d.layers + 1);
        double negative = 0.0;
        for (std::size_t first = 0; first < 4; first += std::size_t(windows)) {
            std::vector<std::vector<std::uint32_t>> sequences;
            for (auto i = first; i < std::min<std::size_t>(4, first + std::size_t(windows)); ++i)
                sequences.emplace_back(text.tokens.begin() + std::ptrdiff_t(length * i),
                    text.tokens.begin() + std::ptrdiff_t(length * (i + 1)));
            const SlowCall base(d, sequences, false), changed(d, sequences);
            for (std::size_t i = 0; i < depth.size(); ++i)
                addErrors(base.streams.at(i), changed.streams.at(i), depth[i]);
            for (std::size_t i = 0; i < sequences.size(); ++i)
                for (auto t = text.windows[i].firstScored; t + 1 < length; ++t)
                    negative -= logProbability(changed.logits[i][t], sequences[i][t + 1]);
        }
        QVERIFY(std::abs(result->quantized->value / std::exp(negative / double(result->scored)) - 1.0) < 1e-5);
        QCOMPARE(result->depth.size(), depth.size());
        QCOMPARE(result->depth[0].noise, 0.0);
        QVERIFY(std::isinf(result->depth[0].sqnr()));
        for (std::size_t i = 0; i < depth.size(); ++i) {
            QVERIFY(std::abs(result->depth[i].signal / depth[i].signal - 1.0) < 1e-5);
            QVERIFY(i == 0 || std::abs(result->depth[i].noise / depth[i].noise - 1.0) < 1e-4);
            QVERIFY(i == 0
                || std::abs(result->depth[i].sqnr() - 10.0 * std::log10(depth[i].signal / depth[i].noise)) < 1e-3);
        }
    }

    void sameBitsForAnyThreadsAndMemory()
    {
        for (const auto* name : {"mixtral", "gemma3_text"}) {
            const auto& d = m_families.at(name);
            const QTemporaryDir folder;
            const auto model = openTiny(d, folder.path().toStdString());
            const auto decoder = describeDecoder(**model);
            QVERIFY(decoder);
            auto text = cutWindows(randomTokens(1'400, d.vocabulary), 1U, 140, std::nullopt).value();
            text.windowsPerCall = 2;
            const auto run = [&](unsigned threads, std::uint64_t memory) {
                Progress progress;
                return evaluate(*decoder, text, replacing(**model), {threads, memory}, {}, progress);
            };
            const auto one = run(1, std::uint64_t {4} << 30U);
            QVERIFY(one);
            QCOMPARE(*run(2, std::uint64_t {4} << 30U), *one);
            const auto least = run(2, 10'000);  // says how much one call takes
            QVERIFY(!least);
            QCOMPARE(least.error().code, ErrorCode::InvalidArgument);
            const auto& reason = least.error().reason;
            QCOMPARE(*run(2, std::stoull(reason.substr(reason.rfind(' ')))), *one);
        }
    }

    void layersThatAreReplacedAlikeShareTheInputs()
    {
        const auto& d = m_families.at("llama");
        const QTemporaryDir folder;
        const auto model = openTiny(d, folder.path().toStdString());
        const auto decoder = describeDecoder(**model);
        QVERIFY(decoder);
        std::mutex mutex;
        std::map<std::string, std::set<const float*>> seen;
        std::size_t calls = 0;
        ForwardHooks hooks;
        const auto replacer = std::make_shared<const InputReplacer>(
            InputReplacer {.replace = [&](std::span<float> rows, const kernels::FiniteRange&) {
                const std::lock_guard lock(mutex);
                ++calls;
                std::fill(rows.begin(), rows.end(), 0.25F);
            }});
        hooks.inputs = [&](std::size_t) -> Result<std::shared_ptr<const InputReplacer>> { return replacer; };
        hooks.beforeLayer = [&](const auto& inputs) {
            const std::lock_guard lock(mutex);
            seen[(*model)->tensors[inputs.layer.tensor].name].insert(inputs.values.data);
            QCOMPARE(inputs.values.row(inputs.values.rows - 1)[0], 0.25F);  // as multiplied
        };
        QVERIFY(computeLogits(*decoder, randomTokens(20, d.vocabulary), hooks, {}));
        const std::string at = "model.layers.1.self_attn.";
        QCOMPARE(seen.at(at + "q_proj.weight"), seen.at(at + "k_proj.weight"));
        QCOMPARE(seen.at(at + "q_proj.weight"), seen.at(at + "v_proj.weight"));
        QCOMPARE(calls, std::size_t(2 * 4 + 20));  // qkv, o, gate and up, down; the head row by row
    }

    /// A replacer would make something finite of it.
    void overflowIsNotHidden()
    {
        const auto& d = m_families.at("llama");
        const QTemporaryDir folder;
        const auto model = openTiny(d, folder.path().toStdString());
        const auto decoder = describeDecoder(**model);
        QVERIFY(decoder);
        const auto tensorNamed = [&](std::size_t tensor, std::string_view end) {
            return (*model)->tensors[tensor].name.ends_with(end);
        };
        ForwardHooks hooks;
        hooks.weights = [&](std::size_t tensor) -> Result<RowReplacer> {
            if (!tensorNamed(tensor, "v_proj.weight"))
                return RowReplacer();
            return RowReplacer([](std::uint64_t, std::span<float> rows) {
                std::fill(rows.begin(), rows.end(), std::numeric_limits<float>::max());
            });
        };
        hooks.inputs = [&](std::size_t tensor) -> Result<std::shared_ptr<const InputReplacer>> {
            if (!tensorNamed(tensor, "o_proj.weight"))
                return nullptr;
            return std::make_shared<const InputReplacer>(
                InputReplacer {.replace = [](std::span<float> rows, const kernels::FiniteRange&) {
                    std::fill(rows.begin(), rows.end(), 0.5F);
                }});
        };
        const auto result = computeLogits(*decoder, randomTokens(20, d.vocabulary), hooks, {});
        QVERIFY(!result);
        QCOMPARE(result.error().code, ErrorCode::Malformed);
    }

    void hooksMayFail()
    {
        const auto& d = m_families.at("llama");
        const QTemporaryDir folder;
        const auto model = openTiny(d, folder.path().toStdString());
        const auto decoder = describeDecoder(**model);
        QVERIFY(decoder);
        const auto text = cutWindows(randomTokens(40, d.vocabulary), std::nullopt, 20, std::nullopt).value();
        const auto codeOf = [&](const ForwardHooks& hooks) {
            Progress progress;
            const auto result = evaluate(*decoder, text, hooks, {}, {}, progress);
            return result ? ErrorCode::Internal : result.error().code;
        };
        ForwardHooks inputs, cache;
        inputs.inputs = [](std::size_t) -> Result<std::shared_ptr<const InputReplacer>> {
            return failure(ErrorCode::Unsupported, "activations", "not so");
        };
        cache.cache = [](std::size_t) -> Result<CacheReplacer> {
            return failure(ErrorCode::Unsupported, "cache", "not so");
        };
        QCOMPARE(codeOf(inputs), ErrorCode::Unsupported);
        QCOMPARE(codeOf(cache), ErrorCode::Unsupported);
    }

private:
    static void addErrors(
        const std::vector<SlowForward::Rows>& base, const std::vector<SlowForward::Rows>& changed, DepthError& error)
    {
        for (std::size_t i = 0; i < base.size(); ++i)
            for (std::size_t t = 0; t < base[i].size(); ++t)
                for (std::size_t j = 0; j < base[i][t].size(); ++j) {
                    error.signal += base[i][t][j] * base[i][t][j];
                    error.noise += std::pow(base[i][t][j] - changed[i][t][j], 2.0);
                }
    }

    static double logProbability(const SlowForward::Row& logits, std::uint32_t token)
    {
        double sum = 0.0;
        for (const double logit : logits)
            sum += std::exp(logit);
        return logits[token] - std::log(sum);
    }

    std::map<std::string, TinyDecoder> m_families;
};

QTEST_APPLESS_MAIN(TestInputReplacement)
#include "tst_input_replacement.moc"
