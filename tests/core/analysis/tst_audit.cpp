// SPDX-License-Identifier: GPL-3.0-or-later
// Quantized checkpoints of others against their originals, with the errors that an independent program found.
#include "tests/core/analysis/audit_fixture.h"
#include "tests/support/shared_data.h"
#include "tests/support/tensor_figures.h"

#include <QTest>

#include <nlohmann/json.hpp>

#include <cmath>
#include <fstream>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

/// A matrix in the upper left corner of a larger one of zeros.
std::vector<float> padded(
    const std::vector<float>& values, const MatrixShape& from, const MatrixShape& to, float factor)
{
    std::vector<float> result(to.elements());
    for (std::uint64_t row = 0; row < from.rows; ++row)
        for (std::uint64_t column = 0; column < from.columns; ++column)
            result[row * to.columns + column] = values[row * from.columns + column] * factor;
    return result;
}

/// The model with larger matrices of the same function, as the manifest of the corpus describes it.
std::string variant(const Model& model, bool pad256)
{
    SafetensorsBuilder file;
    for (const auto& tensor : model.tensors) {
        const auto from = matrixShape(tensor.view);
        const bool vector = tensor.view.shape.size() == 1;
        auto to = from;
        const auto role = tensor.parts.role;
        if (pad256) {
            to.columns = 256;
            if (!vector && role != TensorRole::Embedding)
                to.rows = role == TensorRole::Key || role == TensorRole::Value ? 128 : 256;
        } else if (role == TensorRole::Gate || role == TensorRole::Up) {
            to.rows = 192;
        } else if (role == TensorRole::Down) {
            to.columns = 192;
        }
        const auto values = padded(valuesOf(tensor.view), from, to, pad256 && vector ? 0.5F : 1.0F);
        file.add(tensor.name, "F32", vector ? Shape {to.columns} : Shape {to.rows, to.columns}, numbers<float>(values));
    }
    return file.file();
}

bool isClose(double value, double expected, double tolerance)
{
    return std::abs(value - expected) <= tolerance * std::abs(expected);
}

std::vector<float> join(const std::vector<std::vector<float>>& parts)
{
    std::vector<float> whole;
    for (const auto& part : parts)
        whole.insert(whole.end(), part.begin(), part.end());
    return whole;
}

}  // namespace

class TestAudit : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void agreesWithTheTruth_data()
    {
        QTest::addColumn<QByteArray>("truth");
        QTest::addColumn<QByteArray>("key");
        QTest::addColumn<QByteArray>("original");
        const auto row = [](const char* file, const char* truth, const char* key, const char* original) {
            QTest::addRow("%s from %s", file, original) << QByteArray(truth) << QByteArray(key) << QByteArray(original);
        };
        for (const auto* original : {"gguf/stories260K-f32.gguf", "hf"}) {
            row("stories260K-f16", "truth_s260.json", "F16", original);
            row("stories260K-direct-Q4_K_M", "truth_s260.json", "Q4_K_M", original);
            row("stories260K-direct-Q2_K", "truth_s260.json", "Q2_K", original);
        }
        for (const auto* type : {"Q8_0", "Q4_0", "Q5_1"})
            row((std::string("stories260K-ff192-") + type).c_str(), "truth_s260ff.json", type, "ff192");
        row("stories260K-pad256-Q4_K_M", "truth_s260pad.json", "Q4_K_M", "pad256");
    }

    void agreesWithTheTruth()
    {
        QFETCH(const QByteArray, truth);
        QFETCH(const QByteArray, key);
        QFETCH(const QByteArray, original);
        const auto folder = corpus() / "llm/stories260K";
        const auto name = QByteArray(QTest::currentDataTag()).split(' ').first().toStdString();
        const auto path = folder / "gguf" / (name + ".gguf");
        QUANTLOUPE_NEED(path);
        QUANTLOUPE_NEED(corpus() / truth.toStdString());
        const auto expected =
            nlohmann::json::parse(std::ifstream(corpus() / truth.toStdString())).at(key.toStdString());
        CheckpointFolder own;
        auto source = folder / original.toStdString();
        if (original == "ff192" || original == "pad256") {
            const auto plain = openModel(folder / "gguf/stories260K-f32.gguf");
            QVERIFY(plain);
            source = own.write("model.safetensors", variant(**plain, original == "pad256"));
        }
        const auto from = openModel(source), quantized = openModel(path);
        QVERIFY(from && quantized);
        const auto found = auditOf(*from, *quantized);
        QVERIFY2(found, found ? "" : describe(found.error()).c_str());
        QVERIFY(found->isClean());
        QCOMPARE(found->tensors.size(), std::size_t(47));
        int matrices = 0;
        for (const auto& tensor : found->tensors) {
            const auto& types = expected.at("map");
            QVERIFY2(QString::fromStdString(tensor.storedAs)
                         .compare(types.at(tensor.quantized).get<std::string>().c_str(), Qt::CaseInsensitive)
                    == 0,
                tensor.quantized.c_str());
            const bool isFloat = tensor.storedAs == "F32" || tensor.storedAs == "F16";
            QCOMPARE(tensor.verdict, isFloat ? AuditVerdict::Kept : AuditVerdict::Quantized);
            if (!expected.at("tensors").contains(tensor.quantized)) {
                QCOMPARE(tensor.error.errorEnergy, 0.0);
                continue;
            }
            ++matrices;
            const auto figures = expected.at("tensors").at(tensor.quantized).get<std::vector<double>>();
            QVERIFY2(isClose(std::sqrt(tensor.error.mse()), figures[0], 1e-5), tensor.quantized.c_str());
            QVERIFY2(isClose(tensor.error.maxAbsError, figures[1], 1e-6), tensor.quantized.c_str());
            QVERIFY2(isClose(tensor.error.relativeError(), figures[2], 1e-5), tensor.quantized.c_str());
            const bool rotated = tensor.parts.role == TensorRole::Query || tensor.parts.role == TensorRole::Key;
            QVERIFY2(tensor.rotaryRowsReordered == (rotated && original == "hf"), tensor.quantized.c_str());
            QCOMPARE(tensor.best.has_value(), tensor.verdict == AuditVerdict::Quantized);
            if (tensor.best) {
                QVERIFY(tensor.best->bitsPerWeight <= tensor.bitsPerWeight * 1.000001);
                QVERIFY(isClose(tensor.best->auditedSqnrDb, tensor.error.sqnrDb(), 1e-9));
                // What llama.cpp did without an importance matrix is among what was tried.
                QVERIFY2(tensor.best->gain() > -1e-6, tensor.quantized.c_str());
            }
        }
        QCOMPARE(matrices, 36);
        QVERIFY(isClose(found->bitsPerWeight(), expected.at("bpw2d").get<double>(), 1e-9));
        QVERIFY(isClose(found->weightError().relativeError(), expected.at("relmse").get<double>(), 1e-5));
    }

    void bfloat16InShards()
    {
        const auto folder = corpus() / "llm/stories260K";
        QUANTLOUPE_NEED(folder / "hf");
        QUANTLOUPE_NEED(corpus() / "truth_s260.json");
        const auto expected = nlohmann::json::parse(std::ifstream(corpus() / "truth_s260.json")).at("BF16");
        const auto from = openModel(folder / "hf"), other = openModel(folder / "hf-sharded-bf16");
        QVERIFY(from && other);
        const auto found = auditOf(*from, *other);
        QVERIFY(found && found->isClean());
        QCOMPARE(found->count(AuditVerdict::Kept), std::size_t(47));
        QCOMPARE(found->leftUnquantized(), std::size_t(36));
        for (const auto& tensor : found->tensors) {
            const auto key = ggufName(tensor.original, "llama");
            if (expected.at("tensors").contains(*key))
                QVERIFY(
                    isClose(tensor.error.relativeError(), expected.at("tensors").at(*key).at(2).get<double>(), 1e-5));
        }
    }

    void theOrderOfThreadsDoesNotMatter()
    {
        const auto folder = corpus() / "llm/stories260K";
        QUANTLOUPE_NEED(folder / "hf");
        const auto from = openModel(folder / "hf"), other = openModel(folder / "gguf/stories260K-direct-Q4_K_M.gguf");
        QVERIFY(from && other);
        const auto one = auditOf(*from, *other, {.threads = 1}), three = auditOf(*from, *other, {.threads = 3});
        QVERIFY(one && three);
        QVERIFY(one->tensors == three->tensors);
    }

    /// q, k, v and gate, up: fused by one, split by the other, in both directions; experts in a stack and one by one.
    void fusedAndSplit_data()
    {
        QTest::addColumn<bool>("fuses");
        QTest::newRow("fused by the checkpoint") << true;
        QTest::newRow("split by the checkpoint") << false;
    }

    void fusedAndSplit()
    {
        QFETCH(const bool, fuses);
        Draw draw(3);
        const std::uint64_t width = 16;
        const auto q = draw.scales(8 * width), k = draw.scales(4 * width), v = draw.scales(4 * width),
                   gate = draw.scales(12 * width), up = draw.scales(12 * width), first = draw.scales(6 * width),
                   second = draw.scales(6 * width);
        const std::string block = "model.layers.0.";
        CheckpointFolder folder;
        const auto split = modelOf(folder, "split",
            {{block + "self_attn.q_proj.weight", {8, width}, q}, {block + "self_attn.k_proj.weight", {4, width}, k},
                {block + "self_attn.v_proj.weight", {4, width}, v}, {block + "mlp.gate_proj.weight", {12, width}, gate},
                {block + "mlp.up_proj.weight", {12, width}, up},
                {"model.layers.1.mlp.experts.0.up_proj.weight", {6, width}, first},
                {"model.layers.1.mlp.experts.1.up_proj.weight", {6, width}, second}});
        const auto fused = modelOf(folder, "fused",
            {{block + "self_attn.qkv_proj.weight", {16, width}, join({q, k, v})},
                {block + "mlp.gate_up_proj.weight", {24, width}, join({gate, up})},
                {"blk.1.ffn_up_exps.weight", {2, 6, width}, join({first, second})}});
        QVERIFY(split && fused);
        const auto found = fuses ? auditOf(split, fused) : auditOf(fused, split);
        QVERIFY2(found, found ? "" : describe(found.error()).c_str());
        QVERIFY(found->isClean());
        QCOMPARE(found->tensors.size(), std::size_t(7));
        std::uint64_t rows = 0, bytes = 0;
        for (const auto& tensor : found->tensors) {
            QVERIFY2(tensor.error.errorEnergy == 0.0, tensor.original.c_str());
            QCOMPARE(tensor.error.count, tensor.shape.elements());
            rows += tensor.shape.rows;
            bytes += tensor.bytes;
        }
        QCOMPARE(rows, std::uint64_t(8 + 4 + 4 + 12 + 12 + 6 + 6));
        QCOMPARE(bytes, rows * width * 4);
    }

    void findsWhatIsWrong()
    {
        Draw draw(4);
        const auto weights = draw.scales(8 * 16), others = draw.scales(8 * 16), norm = draw.scales(16);
        auto changed = norm;
        changed[3] *= 1.5F;
        auto broken = weights;
        broken[5] = NAN;
        CheckpointFolder folder;
        const auto original = modelOf(folder, "a",
            {{"a.weight", {8, 16}, weights}, {"b.weight", {8, 16}, weights}, {"c.weight", {8, 16}, weights},
                {"d.weight", {8, 16}, weights}, {"norm.weight", {16}, norm}, {"same.weight", {8, 16}, weights}});
        const auto quantized = modelOf(folder, "b",
            {{"a.weight", {8, 16}, others}, {"b.weight", {16, 8}, weights}, {"d.weight", {8, 16}, broken},
                {"e.weight", {8, 16}, weights}, {"norm.weight", {16}, changed}, {"same.weight", {8, 16}, weights}});
        QVERIFY(original && quantized);
        const auto found = auditOf(original, quantized);
        QVERIFY(found);
        QVERIFY(!found->isClean());
        QCOMPARE(found->missing, std::vector<std::string> {"c.weight"});
        QCOMPARE(found->extra, std::vector<std::string> {"e.weight"});
        QCOMPARE(found->mismatched.size(), std::size_t(1));
        QCOMPARE(found->mismatched[0].original, std::string("b.weight"));
        QCOMPARE(find(*found, "a.weight")->verdict, AuditVerdict::Different);
        QCOMPARE(find(*found, "d.weight")->verdict, AuditVerdict::Different);
        QVERIFY(find(*found, "d.weight")->note.find("finite") != std::string::npos);
        QCOMPARE(find(*found, "norm.weight")->verdict, AuditVerdict::Different);
        QCOMPARE(find(*found, "same.weight")->verdict, AuditVerdict::Kept);

        const auto some =
            auditOf(original, quantized, {.wants = [](const std::string& name) { return name == "same.weight"; }});
        QVERIFY(some && some->isClean());
        QCOMPARE(some->tensors.size(), std::size_t(1));
    }

    /// An integer buffer that is carried along is no quantized weight.
    void buffersAreKept()
    {
        CheckpointFolder folder;
        SafetensorsBuilder file;
        const std::vector<int> positions {0, 1, 2, 3};
        file.add("position_ids", "I64", {1, 4}, numbers<std::int64_t>(positions));
        const auto model = openModel(folder.write("model.safetensors", file.file()));
        QVERIFY(model);
        const auto found = auditOf(*model, *model);
        QVERIFY(found && found->isClean());
        QCOMPARE(found->tensors.at(0).verdict, AuditVerdict::Kept);
        QCOMPARE(found->leftUnquantized(), std::size_t(0));
    }

    void tiedHeads()
    {
        Draw draw(5);
        const auto weights = draw.scales(8 * 16);
        CheckpointFolder folder;
        const auto tied = modelOf(folder, "tied", {{"model.embed_tokens.weight", {8, 16}, weights}});
        const auto copied =
            modelOf(folder, "copied", {{"token_embd.weight", {8, 16}, weights}, {"output.weight", {8, 16}, weights}});
        QVERIFY(tied && copied);
        for (const auto& found : {auditOf(tied, copied), auditOf(copied, tied)}) {
            QVERIFY(found && found->isClean());
            QCOMPARE(found->tensors.size(), std::size_t(2));
        }
    }

    void anotherModelIsRefused()
    {
        Draw draw(6);
        const auto weights = draw.scales(8 * 16);
        CheckpointFolder folder;
        const auto one = modelOf(folder, "one", {{"x.weight", {8, 16}, weights}});
        const auto two = modelOf(folder, "two", {{"y.weight", {8, 16}, weights}});
        const auto found = auditOf(one, two);
        QVERIFY(!found);
        QCOMPARE(found.error().code, ErrorCode::Conflict);
    }

    /// As AWQ does it: input channels multiplied, the norm before them divided, v's rows and o's columns in step.
    void rescaledChannels()
    {
        const std::uint64_t width = 64;
        std::mt19937 random(11);
        std::normal_distribution<float> normal(0.0F, 0.05F);
        std::uniform_real_distribution<float> exponent(-2.0F, 2.0F);
        const auto drawn = [&](std::size_t count) {
            std::vector<float> values(count);
            for (float& value : values)
                value = normal(random);
            return values;
        };
        std::vector<float> before(width), between(width), norm(width, 1.25F), plain(width, 0.75F);
        for (std::size_t i = 0; i < width; ++i) {
            before[i] = std::exp2(exponent(random));
            between[i] = std::exp2(exponent(random));
        }
        const auto q = drawn(width * width), v = drawn(width * width), o = drawn(width * width);
        const auto changed = [&](std::vector<float> values, auto&& factor) {
            for (std::size_t i = 0; i < values.size(); ++i)
                values[i] = std::round(values[i] * factor(i / width, i % width) * 1024.0F) / 1024.0F;
            return values;
        };
        auto dividedNorm = norm;
        for (std::size_t i = 0; i < width; ++i)
            dividedNorm[i] /= before[i];
        const std::string block = "model.layers.0.";
        CheckpointFolder folder;
        const auto original = modelOf(folder, "a",
            {{block + "input_layernorm.weight", {width}, norm}, {block + "self_attn.q_proj.weight", {width, width}, q},
                {block + "self_attn.v_proj.weight", {width, width}, v},
                {block + "self_attn.o_proj.weight", {width, width}, o},
                {block + "post_attention_layernorm.weight", {width}, plain}});
        auto wrong = plain;
        wrong[7] *= 2.0F;
        const auto rescaled = modelOf(folder, "b",
            {{block + "input_layernorm.weight", {width}, dividedNorm},
                {block + "self_attn.q_proj.weight", {width, width},
                    changed(q, [&](std::size_t, std::size_t column) { return before[column]; })},
                {block + "self_attn.v_proj.weight", {width, width},
                    changed(v, [&](std::size_t row, std::size_t column) { return before[column] / between[row]; })},
                {block + "self_attn.o_proj.weight", {width, width},
                    changed(o, [&](std::size_t, std::size_t column) { return between[column]; })},
                {block + "post_attention_layernorm.weight", {width}, wrong}});
        QVERIFY(original && rescaled);
        const auto found = auditOf(original, rescaled);
        QVERIFY2(found, found ? "" : describe(found.error()).c_str());
        for (const auto* name : {"self_attn.q_proj.weight", "self_attn.v_proj.weight", "self_attn.o_proj.weight"}) {
            const auto& tensor = *find(*found, block + name);
            QVERIFY2(tensor.rescaled, name);
            // A step of 2⁻¹⁰ over factors from a quarter to four: its error alone is left.
            QVERIFY2(tensor.error.relativeError() < 2e-3, name);
            QVERIFY(tensor.rescaled->columns.most > 2.0F * tensor.rescaled->columns.least);
        }
        const auto& rows = find(*found, block + "self_attn.q_proj.weight")->rescaled->rows;
        QVERIFY(rows.least > 0.95F && rows.most < 1.05F);
        const auto& first = *find(*found, block + "input_layernorm.weight");
        QCOMPARE(first.verdict, AuditVerdict::Kept);
        QVERIFY(first.rescaled);
        QCOMPARE(find(*found, block + "post_attention_layernorm.weight")->verdict, AuditVerdict::Different);
    }

    void emptyHeads()
    {
        CheckpointFolder folder;
        const std::string name = "model.layers.0.self_attn.q_proj.weight", other = "model.layers.0.mlp.up_proj.weight";
        for (const auto* place : {"original", "same"}) {
            std::filesystem::create_directory(folder.path() / place);
            folder.write(std::string(place) + "/config.json",
                R"({"model_type": "llama", "hidden_size": 64, "num_attention_heads": 1, "num_hidden_layers": 1})");
        }
        const std::vector<float> weights(64 * 2, 0.5F);
        const auto original = modelOf(folder, "original", {{name, {0, 64}, {}}, {other, {2, 64}, weights}});
        const auto same = modelOf(folder, "same", {{name, {0, 64}, {}}, {other, {2, 64}, weights}});
        QVERIFY(original && same);
        const auto found = auditOf(original, same);
        QVERIFY(found);
        QCOMPARE(found->tensors.size(), std::size_t(2));
    }

    /// GPTQ's layout, rounded to the nearest by a plain loop.
    void packedCheckpoint()
    {
        const std::uint64_t rows = 32, columns = 64, group = 32;
        std::mt19937 random(7);
        std::normal_distribution<float> normal(0.0F, 0.05F);
        std::vector<float> weights(rows * columns), rounded(rows * columns);
        for (auto& weight : weights)
            weight = normal(random);
        BitField codes(rows * columns / 2), zeros(columns / group * rows / 2);
        std::vector<float> scales(columns / group * rows, 0x1p-5F);
        for (std::uint64_t row = 0; row < rows; ++row)
            for (std::uint64_t column = 0; column < columns; ++column) {
                const auto code = std::clamp(std::lround(weights[row * columns + column] * 32.0F) + 8, 0L, 15L);
                codes.put((column / 8 * rows + row) * 32 + column % 8 * 4, 4, static_cast<std::uint32_t>(code));
                rounded[row * columns + column] = static_cast<float>(code - 8) * 0x1p-5F;
            }
        for (std::uint64_t i = 0; i < scales.size(); ++i)
            zeros.put(i * 4, 4, 7);
        CheckpointFolder folder;
        const std::string module = "model.layers.0.mlp.up_proj";
        const auto original = modelOf(folder, "original", {{module + ".weight", {rows, columns}, weights}});
        SafetensorsBuilder file;
        file.add(module + ".qweight", "I32", {columns / 8, rows}, codes.bytes());
        file.add(module + ".qzeros", "I32", {columns / group, rows / 8}, zeros.bytes());
        file.add(module + ".scales", "F16", {columns / group, rows}, halves(scales));
        const auto quantized = openModel(folder.write("model.safetensors", file.file()));
        QVERIFY(original && quantized);
        const auto found = auditOf(original, *quantized);
        QVERIFY(found && found->isClean());
        const auto& tensor = found->tensors.at(0);
        QVERIFY(tensor.storedAs.starts_with("GPTQ int4"));
        QCOMPARE(tensor.bitsPerWeight, 4.0 + (16.0 + 4.0) / double(group));
        double error = 0.0, largest = 0.0;
        for (std::size_t i = 0; i < weights.size(); ++i) {
            error += std::pow(double(weights[i]) - double(rounded[i]), 2);
            largest = std::max(largest, std::abs(double(weights[i]) - double(rounded[i])));
        }
        QVERIFY(isClose(tensor.error.mse(), error / double(weights.size()), 1e-6));
        QVERIFY(isClose(tensor.error.maxAbsError, largest, 1e-6));
        QVERIFY(tensor.best && tensor.best->gain() > 0.0);
    }
};

QTEST_APPLESS_MAIN(TestAudit)
#include "tst_audit.moc"
