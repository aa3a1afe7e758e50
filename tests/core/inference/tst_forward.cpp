// SPDX-License-Identifier: GPL-3.0-or-later
// Whole forward passes of small decoders of every family against a second, slow implementation.
#include "core/inference/forward.h"
#include "tests/core/inference/tiny_families.h"

#include <tbb/task_arena.h>

#include <QTest>

#include <list>
#include <mutex>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

std::vector<std::uint32_t> someTokens(std::size_t count, std::size_t vocabulary)
{
    std::mt19937 random(3);
    std::vector<std::uint32_t> tokens(count);
    for (auto& token : tokens)
        token = std::uint32_t(random() % vocabulary);
    return tokens;
}

double largestDifference(const std::vector<float>& logits, const SlowForward::Rows& expected)
{
    double largest = 0.0, size = 0.0;
    std::size_t i = 0;
    for (const auto& row : expected)
        for (const double value : row) {
            const double difference = std::abs(double(logits[i++]) - value);
            largest = difference <= largest ? largest : difference;  // NaN counts
            size = std::max(size, std::abs(value));
        }
    return largest / size;
}

/// The same model as a converter would write it for GGUF.
class GgufTwin
{
public:
    GgufTwin(const TinyDecoder& d, const Model& original, std::string architecture)
        : m_model(original)
    {
        m_model.naming = NamingWorld::Gguf;
        const bool pairs = architecture == "llama" || architecture == "smollm3";
        for (auto& tensor : m_model.tensors) {
            auto values = d.at(tensor.name).values;
            if (pairs && (tensor.parts.role == TensorRole::Query || tensor.parts.role == TensorRole::Key))
                values = paired(values, d.head, d.hidden);
            if (d.norm == "plus one" && tensor.parts.role == TensorRole::Norm)
                for (auto& value : values)
                    value += 1.0F;
            m_values.push_back(std::move(values));
            tensor.name = *ggufName(tensor.name, m_model.config.architecture);
            tensor.parts = readName(tensor.name);
            tensor.view.bytes = std::as_bytes(std::span(m_values.back()));
            tensor.view.owner.reset();
        }
        m_model.config.architecture = std::move(architecture);
    }
    const Model& model() const { return m_model; }

private:
    /// Rows j and j + head/2 of each head become neighbours.
    static std::vector<float> paired(const std::vector<float>& rows, std::size_t head, std::size_t columns)
    {
        std::vector<float> out(rows.size());
        for (std::size_t row = 0; row < rows.size() / columns; ++row) {
            const auto start = row / head * head, j = row % head;
            const auto to = start + (j < head / 2 ? 2 * j : 2 * (j - head / 2) + 1);
            std::copy_n(
                rows.begin() + std::ptrdiff_t(row * columns), columns, out.begin() + std::ptrdiff_t(to * columns));
        }
        return out;
    }

    Model m_model;
    std::list<std::vector<float>> m_values;
};

Result<std::vector<float>> logitsOf(
    const Model& model, const std::vector<std::uint32_t>& tokens, const ForwardHooks& hooks = {})
{
    return describeDecoder(model).and_then(
        [&](const Decoder& decoder) { return computeLogits(decoder, tokens, hooks, {}); });
}

}  // namespace

class TestForward : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void initTestCase() { m_families = tinyFamilies(); }

    void families_data()
    {
        QTest::addColumn<QByteArray>("family");
        for (const auto& [name, family] : m_families)
            QTest::newRow(name.c_str()) << QByteArray(name.c_str());
    }

    void families()
    {
        QFETCH(const QByteArray, family);
        const auto& d = m_families.at(family.toStdString());
        const QTemporaryDir folder;
        const auto model = openTiny(d, folder.path().toStdString());
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        // More than a tile, so that tiles meet; not a multiple of anything.
        const auto tokens = someTokens(141, d.vocabulary);
        const auto logits = logitsOf(**model, tokens);
        QVERIFY2(logits, logits ? "" : describe(logits.error()).c_str());
        const auto expected = SlowForward(d, tokens).logits();
        const double difference = largestDifference(*logits, expected);
        QVERIFY2(difference < 2e-5, qPrintable(QString::number(difference)));
    }

    void ggufTwins_data()
    {
        QTest::addColumn<QByteArray>("family");
        QTest::addColumn<QByteArray>("architecture");
        QTest::newRow("llama") << QByteArray("llama") << QByteArray("llama");
        QTest::newRow("smollm3") << QByteArray("smollm3") << QByteArray("smollm3");
        QTest::newRow("qwen3") << QByteArray("qwen3") << QByteArray("qwen3");
        QTest::newRow("gemma2") << QByteArray("gemma2") << QByteArray("gemma2");
        QTest::newRow("gemma3") << QByteArray("gemma3_text") << QByteArray("gemma3");
        QTest::newRow("phi3") << QByteArray("phi3") << QByteArray("phi3");
    }

    void ggufTwins()
    {
        QFETCH(const QByteArray, family);
        QFETCH(const QByteArray, architecture);
        const auto& d = m_families.at(family.toStdString());
        const QTemporaryDir folder;
        const auto model = openTiny(d, folder.path().toStdString());
        QVERIFY(model);
        const GgufTwin twin(d, **model, architecture.toStdString());
        const auto tokens = someTokens(40, d.vocabulary);
        const auto logits = logitsOf(twin.model(), tokens);
        QVERIFY2(logits, logits ? "" : describe(logits.error()).c_str());
        const double difference = largestDifference(*logits, SlowForward(d, tokens).logits());
        QVERIFY2(difference < 2e-5, qPrintable(QString::number(difference)));
    }

    void expertStacks()
    {
        auto d = m_families.at("mixtral");
        const QTemporaryDir folder;
        const auto model = openTiny(d, folder.path().toStdString());
        QVERIFY(model);
        // GGUF keeps the experts of a block in one tensor.
        auto stacked = d;
        for (std::size_t layer = 0; layer < d.layers; ++layer)
            for (const auto* name : {"w1", "w2", "w3"}) {
                const auto start = "model.layers." + std::to_string(layer) + ".block_sparse_moe.experts.";
                TinyTensor stack;
                for (std::size_t expert = 0; expert < d.experts; ++expert) {
                    const auto key = start + std::to_string(expert) + "." + name + ".weight";
                    const auto& one = d.at(key);
                    stack.shape = {d.experts, one.shape[0], one.shape[1]};
                    stack.values.insert(stack.values.end(), one.values.begin(), one.values.end());
                    stacked.tensors.erase(key);
                }
                stacked.tensors[start + name + ".weight"] = std::move(stack);
            }
        const QTemporaryDir second;
        const auto other = openTiny(stacked, second.path().toStdString());
        QVERIFY(other);
        const auto tokens = someTokens(50, d.vocabulary);
        const auto expected = logitsOf(**model, tokens);
        const auto logits = logitsOf(**other, tokens);
        QVERIFY2(logits, logits ? "" : describe(logits.error()).c_str());
        QCOMPARE(*logits, *expected);
    }

    void sameBitsForAnyThreads()
    {
        for (const auto* name : {"gemma3_text", "qwen2_moe"}) {
            const auto& d = m_families.at(name);
            const QTemporaryDir folder;
            const auto model = openTiny(d, folder.path().toStdString());
            QVERIFY(model);
            const auto tokens = someTokens(300, d.vocabulary);
            const auto run = [&](int threads) {
                tbb::task_arena arena(threads);
                return arena.execute([&] { return logitsOf(**model, tokens); });
            };
            const auto one = run(1);
            QVERIFY(one);
            for (int i = 0; i < 3; ++i)
                QCOMPARE(*run(2), *one);
        }
    }

    void observersSeeEveryLayer()
    {
        const auto& d = m_families.at("qwen2_moe");
        const QTemporaryDir folder;
        const auto model = openTiny(d, folder.path().toStdString());
        QVERIFY(model);
        std::mutex mutex;
        std::map<std::string, std::size_t> rows;
        ForwardHooks hooks;
        hooks.beforeLayer = [&](const LayerValues& inputs) {
            const std::lock_guard lock(mutex);
            rows[(*model)->tensors[inputs.layer.tensor].name] += inputs.values.rows;
            QVERIFY(inputs.values.columns == inputs.layer.inputs);
        };
        const auto tokens = someTokens(200, d.vocabulary);
        QVERIFY(logitsOf(**model, tokens, hooks));
        std::size_t routed = 0;
        for (const auto& tensor : (*model)->tensors) {
            if (!tensor.quantizable() || tensor.name.ends_with("embed_tokens.weight"))
                continue;
            if (tensor.parts.expert) {
                if (tensor.parts.block == 0U && tensor.parts.role == TensorRole::Down)
                    routed += rows[tensor.name];
            } else {
                QCOMPARE(rows[tensor.name], std::size_t(200));
            }
        }
        QCOMPARE(routed, std::size_t(400));  // two experts each
    }

    void replacedWeightsAreUsed()
    {
        auto d = m_families.at("phi3");
        const QTemporaryDir folder;
        const auto model = openTiny(d, folder.path().toStdString());
        QVERIFY(model);
        ForwardHooks hooks;
        hooks.weights = [&](std::size_t tensor) -> Result<RowReplacer> {
            const auto& name = (*model)->tensors[tensor].name;
            if (!name.ends_with("qkv_proj.weight") && !name.ends_with("lm_head.weight"))
                return RowReplacer();
            const auto columns = matrixShape((*model)->tensors[tensor].view).columns;
            return RowReplacer([columns](std::uint64_t first, std::span<float> rows) {
                for (std::size_t i = 0; i < rows.size(); ++i)
                    rows[i] = std::round(rows[i] * 8.0F) / 8.0F + 0.001F * float((first + i / columns) % 7);
            });
        };
        for (auto& [name, tensor] : d.tensors)
            if (name.ends_with("qkv_proj.weight") || name.ends_with("lm_head.weight"))
                for (std::size_t i = 0; i < tensor.values.size(); ++i)
                    tensor.values[i] =
                        std::round(tensor.values[i] * 8.0F) / 8.0F + 0.001F * float(i / tensor.shape[1] % 7);
        const auto tokens = someTokens(30, d.vocabulary);
        const auto logits = logitsOf(**model, tokens, hooks);
        QVERIFY(logits);
        QVERIFY(largestDifference(*logits, SlowForward(d, tokens).logits()) < 2e-5);
    }

private:
    std::map<std::string, TinyDecoder> m_families;
};

QTEST_APPLESS_MAIN(TestForward)
#include "tst_forward.moc"
