// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/support/checkpoint_files.h"
#include "tests/support/shared_data.h"

#include <QTest>

#include <cmath>

using namespace quantloupe;
using tests::CheckpointFolder;
using tests::raw;

namespace {

struct Figures {
    std::int32_t dim = 8, hidden = 12, layers = 2, heads = 4, keyValueHeads = 2, vocabulary = 10, context = 6;
    std::int32_t group = 4;
    bool shared = true;
};

std::string sevenNumbers(const Figures& f, bool signedVocabulary)
{
    const auto vocabulary = signedVocabulary && !f.shared ? -f.vocabulary : f.vocabulary;
    std::string bytes;
    for (const auto number : {f.dim, f.hidden, f.layers, f.heads, f.keyValueHeads, vocabulary, f.context})
        bytes += raw(number);
    return bytes;
}

/// Fills a file with numbers that count on, and remembers where each tensor began to count.
class Writer
{
public:
    std::string bytes {};
    std::vector<std::pair<std::string, std::size_t>> begins {};

    void floats(const std::string& name, std::int32_t rows, std::int32_t columns)
    {
        begins.emplace_back(name, m_next);
        for (std::int32_t i = 0; i < rows * columns; ++i)
            bytes += raw(float(m_next++));
    }
    /// Codes and then the scales of their groups: 1, 2, 3, …
    void codes(const std::string& name, std::int32_t rows, std::int32_t columns, std::int32_t group)
    {
        begins.emplace_back(name, m_next);
        for (std::int32_t i = 0; i < rows * columns; ++i)
            bytes += raw(static_cast<std::int8_t>(m_next++ % 255));
        for (std::int32_t i = 0; i < rows * columns / group; ++i)
            bytes += raw(float(i + 1));
    }

private:
    std::size_t m_next = 0;
};

std::string block(int number, const char* name)
{
    return "model.layers." + std::to_string(number) + "." + name + ".weight";
}

Writer makeFile(int version, const Figures& f)
{
    Writer file;
    if (version == 0) {
        file.bytes = sevenNumbers(f, true);
    } else {
        file.bytes = raw(std::uint32_t {0x616B3432}) + raw(version) + sevenNumbers(f, false) + raw(f.shared);
        if (version == 2)
            file.bytes += raw(f.group);
        file.bytes.resize(256, '\0');
    }
    const auto matrix = [&](const std::string& name, std::int32_t rows, std::int32_t columns) {
        version == 2 ? file.codes(name, rows, columns, f.group) : file.floats(name, rows, columns);
    };
    const auto blocks = [&](const char* name, std::int32_t rows, std::int32_t columns) {
        for (int i = 0; i < f.layers; ++i)
            columns == 1 ? file.floats(block(i, name), rows, 1) : matrix(block(i, name), rows, columns);
    };
    const auto narrow = f.dim / f.heads * f.keyValueHeads;
    const auto attention = [&] {
        blocks("self_attn.q_proj", f.dim, f.dim);
        blocks("self_attn.k_proj", narrow, f.dim);
        blocks("self_attn.v_proj", narrow, f.dim);
        blocks("self_attn.o_proj", f.dim, f.dim);
    };
    const auto mlp = [&] {
        blocks("mlp.gate_proj", f.hidden, f.dim);
        blocks("mlp.down_proj", f.dim, f.hidden);
        blocks("mlp.up_proj", f.hidden, f.dim);
    };
    if (version == 0) {
        matrix("model.embed_tokens.weight", f.vocabulary, f.dim);
        blocks("input_layernorm", f.dim, 1);
        attention();
        blocks("post_attention_layernorm", f.dim, 1);
        mlp();
        file.floats("model.norm.weight", f.dim, 1);
        file.bytes.append(std::size_t(f.context * (f.dim / f.heads / 2) * 2) * 4, '\x7f');
    } else {
        blocks("input_layernorm", f.dim, 1);
        blocks("post_attention_layernorm", f.dim, 1);
        file.floats("model.norm.weight", f.dim, 1);
        matrix("model.embed_tokens.weight", f.vocabulary, f.dim);
        attention();
        mlp();
    }
    if (!f.shared)
        matrix("lm_head.weight", f.vocabulary, f.dim);
    return file;
}

std::vector<float> valuesOf(const TensorView& view)
{
    const auto matrix = matrixShape(view);
    std::vector<float> values(matrix.elements());
    // In two pieces, so that the second begins within a group.
    const auto half = matrix.rows / 2;
    const auto middle = static_cast<std::size_t>(half * matrix.columns);
    if (half > 0)
        decodeRows(view, 0, half, std::span(values).first(middle));
    decodeRows(view, half, matrix.rows - half, std::span(values).subspan(middle));
    return values;
}

}  // namespace

class TestLlama2c : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void readsEveryVersion_data()
    {
        QTest::addColumn<int>("version");
        QTest::addColumn<bool>("shared");
        QTest::addColumn<int>("group");
        for (const int version : {0, 1, 2})
            for (const bool shared : {true, false})
                QTest::addRow("version %d, %s", version, shared ? "shared head" : "own head") << version << shared << 4;
        QTest::newRow("groups over rows' ends") << 2 << true << 16;
    }

    void readsEveryVersion()
    {
        QFETCH(const int, version);
        QFETCH(const bool, shared);
        QFETCH(const int, group);
        const Figures figures {.group = group, .shared = shared};
        const auto file = makeFile(version, figures);
        const CheckpointFolder folder;
        const auto opened = openModel(folder.write("model.bin", file.bytes));
        QVERIFY2(opened, opened ? "" : describe(opened.error()).c_str());
        const auto& model = **opened;
        ModelConfig expected;
        expected.architecture = "llama";
        expected.hiddenSize = 8;
        expected.layers = 2;
        expected.heads = 4;
        expected.keyValueHeads = 2;
        expected.headDimension = 2;
        expected.intermediateSize = 12;
        expected.vocabulary = 10;
        expected.contextLength = 6;
        expected.tiedEmbeddings = shared;
        QVERIFY(model.config == expected);
        QVERIFY(model.warnings.empty());
        QCOMPARE(model.tensors.size(), file.begins.size());
        for (const auto& [name, begin] : file.begins) {
            const auto index = model.find(name);
            QVERIFY2(index, name.c_str());
            const auto& tensor = model.tensors[*index];
            const bool packed = version == 2 && tensor.view.shape.size() == 2;
            const auto values = valuesOf(tensor.view);
            for (std::size_t i = 0; i < values.size(); ++i) {
                const float wanted = packed
                    ? float(static_cast<std::int8_t>((begin + i) % 255)) * float(i / std::size_t(group) + 1)
                    : float(begin + i);
                QVERIFY2(values[i] == wanted, name.c_str());
            }
            QCOMPARE(tensor.quantizable(), tensor.view.shape.size() == 2);
            QCOMPARE(
                tensor.bytes(), packed ? values.size() + values.size() / std::size_t(group) * 4 : values.size() * 4);
            if (packed)
                QCOMPARE(tensor.view.decoder->description(), "int8:g" + std::to_string(group));
        }
        QVERIFY(model.tensors[*model.find(block(1, "self_attn.k_proj"))].view.shape == Shape({4, 8}));
        QVERIFY(model.tensors[*model.find(block(1, "mlp.down_proj"))].view.shape == Shape({8, 12}));
    }

    void refuses()
    {
        const CheckpointFolder folder;
        const auto fails = [&](const std::string& bytes, ErrorCode code) {
            const auto model = openModel(folder.write("model.bin", bytes));
            return !model && model.error().code == code;
        };
        for (const int version : {0, 1, 2}) {
            const auto whole = makeFile(version, {}).bytes;
            QVERIFY(fails(whole + '\0', ErrorCode::Malformed));
            for (std::size_t length = version == 0 ? 28 : 4; length < whole.size(); length += 13)
                QVERIFY2(fails(whole.substr(0, length), ErrorCode::Truncated), qPrintable(QString::number(length)));
            // Every figure of the header, wild.
            const std::size_t first = version == 0 ? 0 : 8;
            for (std::size_t i = 0; i < 7; ++i)
                for (const std::int32_t wild : {0, -1, 3, 7, 1'000'000, INT32_MAX, INT32_MIN}) {
                    auto bytes = whole;
                    if (wild == 3 && i == 6 && version != 0)
                        continue;  // the context length decides nothing there
                    if (version != 0 && i == 6 && wild > 0)
                        continue;
                    bytes.replace(first + 4 * i, 4, raw(wild));
                    const auto model = openModel(folder.write("model.bin", bytes));
                    QVERIFY2(!model, qPrintable(QString("version %1, figure %2 = %3").arg(version).arg(i).arg(wild)));
                }
        }
        auto other = makeFile(1, {}).bytes;
        other.replace(4, 4, raw(std::int32_t {3}));
        QVERIFY(fails(other, ErrorCode::Malformed));
        QVERIFY(fails(makeFile(2, {.group = 5}).bytes, ErrorCode::Malformed));
        auto none = makeFile(2, {}).bytes;
        none.replace(37, 4, raw(std::int32_t {0}));
        QVERIFY(fails(none, ErrorCode::Malformed));
    }

    /// The same weights in another program's hands: all equal but the order of the rows of q and k.
    void agreesWithItsConversion()
    {
        const auto folder = tests::corpus() / "llm/stories260K";
        QUANTLOUPE_NEED(folder);
        const auto own = openModel(folder / "stories260K.bin"), converted = openModel(folder / "hf");
        QVERIFY2(own, own ? "" : describe(own.error()).c_str());
        QVERIFY(converted);
        QVERIFY((*own)->config == (*converted)->config);
        QCOMPARE((*own)->tensors.size(), (*converted)->tensors.size());
        for (const auto& tensor : (*own)->tensors) {
            const auto& twin = (*converted)->tensors[(*converted)->find(tensor.name).value()];
            QVERIFY2(twin.view.shape == tensor.view.shape && twin.parts == tensor.parts, tensor.name.c_str());
            const auto values = valuesOf(tensor.view), others = valuesOf(twin.view);
            const auto columns = matrixShape(tensor.view).columns;
            const bool rotated = tensor.parts.role == TensorRole::Query || tensor.parts.role == TensorRole::Key;
            constexpr std::size_t kHead = 8;
            for (std::size_t i = 0; i < values.size(); ++i) {
                const auto row = i / columns, within = row % kHead;
                const auto other = rotated ? row - within + within / 2 + within % 2 * (kHead / 2) : row;
                QVERIFY2(values[i] == others[other * columns + i % columns], tensor.name.c_str());
            }
        }
    }
};

QTEST_APPLESS_MAIN(TestLlama2c)
#include "tst_llama2c.moc"
