// SPDX-License-Identifier: GPL-3.0-or-later
// Graphs built in memory: however numbers are stored and whichever way round a layer takes them, rows are output
// channels.
#include "tests/support/checkpoint_files.h"
#include "tests/support/onnx_file.h"
#include "tests/support/tensor_figures.h"

#include <QTest>

#include <filesystem>
#include <functional>
#include <numeric>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

using Extents = std::vector<std::int64_t>;
using Floats = std::vector<float>;

Floats counting(std::size_t count)
{
    Floats values(count);
    std::iota(values.begin(), values.end(), 1.0F);
    return values;
}

std::string packedVarints(const std::vector<std::int64_t>& values)
{
    std::string packed;
    for (const auto value : values)
        packed += varint(static_cast<std::uint64_t>(value));
    return packed;
}

}  // namespace

class TestOnnx : public QObject
{
    Q_OBJECT

    CheckpointFolder m_folder;

    Result<ModelPointer> opened(const std::string& file) const { return openModel(m_folder.write("m.onnx", file)); }

private Q_SLOTS:
    void everyWayToStoreNumbers_data()
    {
        QTest::addColumn<QByteArray>("tensor");
        QTest::addColumn<QByteArray>("dtype");
        QTest::addColumn<QVector<float>>("values");
        const auto row = [](const char* title, const std::string& tensor, const char* dtype, QVector<float> values) {
            QTest::newRow(title) << QByteArray(tensor.data(), qsizetype(tensor.size())) << QByteArray(dtype)
                                 << std::move(values);
        };
        const auto fixed = [](float value) { return varint(4U << 3U | 5U) + raw(value); };
        row("raw", onnxTensor("w", 1, {3}, bytes(9, rawList(Floats {1, 2, 3}))), "F32", {1, 2, 3});
        row("float_data", onnxTensor("w", 1, {3}, bytes(4, rawList(Floats {1, 2, 3}))), "F32", {1, 2, 3});
        row("float_data one by one", onnxTensor("w", 1, {2}, fixed(1) + fixed(-2)), "F32", {1, -2});
        row("float_data in pieces", onnxTensor("w", 1, {3}, bytes(4, rawList(Floats {1, 2})) + fixed(3)), "F32",
            {1, 2, 3});
        row("double_data", onnxTensor("w", 11, {2}, bytes(10, rawList(std::vector<double> {0.5, -4}))), "F64",
            {0.5F, -4});
        row("int8 in int32_data", onnxTensor("w", 3, {3}, bytes(5, packedVarints({-1, 127, -128}))), "I8",
            {-1, 127, -128});
        row("uint8 one by one", onnxTensor("w", 2, {2}, number(5, 255) + number(5, 1)), "U8", {255, 1});
        row("half in int32_data", onnxTensor("w", 10, {2}, bytes(5, packedVarints({0x3C00, 0xC000}))), "F16", {1, -2});
        row("brain half", onnxTensor("w", 16, {1}, bytes(9, raw(std::uint16_t {0x3FC0}))), "BF16", {1.5F});
        row("int64_data", onnxTensor("w", 7, {2}, bytes(7, packedVarints({-5, 70'000}))), "I64", {-5, 70'000});
        row("uint32 in uint64_data", onnxTensor("w", 12, {1}, number(11, 7)), "U32", {7});
        row("bool", onnxTensor("w", 9, {2}, bytes(9, std::string("\0\1", 2))), "BOOL", {0, 1});
        row("int4, odd", onnxTensor("w", 22, {3}, bytes(9, "\xF1\x07")), "I4", {1, -1, 7});
        row("uint4 in int32_data", onnxTensor("w", 21, {3}, bytes(5, packedVarints({0xF1, 0x07}))), "U4", {1, 15, 7});
        row("int2", onnxTensor("w", 26, {5}, bytes(9, "\xE4\x02")), "I2", {0, 1, -2, -1, -2});
        row("uint2", onnxTensor("w", 25, {4}, bytes(9, "\xE4")), "U2", {0, 1, 2, 3});
        row("float4", onnxTensor("w", 23, {2}, bytes(9, "\x97")), "F4", {6, -0.5F});
        row("float8", onnxTensor("w", 17, {1}, bytes(9, "\x38")), "F8_E4M3", {1});
        row("scalar", onnxTensor("w", 1, {}, bytes(9, raw(2.5F))), "F32", {2.5F});
        row("nothing", onnxTensor("w", 1, {0, 4}, {}), "F32", {});
    }

    void everyWayToStoreNumbers()
    {
        QFETCH(const QByteArray, tensor);
        QFETCH(const QByteArray, dtype);
        QFETCH(const QVector<float>, values);
        const auto model = opened(OnnxBuilder().tensor(tensor.toStdString()).file());
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        QCOMPARE((*model)->tensors.size(), std::size_t(1));
        const auto& view = (*model)->tensors[0].view;
        QCOMPARE(std::string(nameOf(view.dtype)), dtype.toStdString());
        QCOMPARE(valuesOf(view), Floats(values.begin(), values.end()));
        QVERIFY((*model)->tensors[0].auxiliary && !(*model)->tensors[0].quantizable());
    }

    void listedButNotDecoded()
    {
        const auto model = opened(OnnxBuilder()
                                      .tensor(onnxTensor("z", 14, {1}, bytes(4, rawList(Floats {1, 2}))))
                                      .tensor(onnxTensor("zz", 15, {1}, bytes(9, std::string(16, '\0'))))
                                      .tensor(onnxTensor("f", 18, {2}, bytes(9, "ab")))
                                      .tensor(onnxTensor("t", 8, {1}, bytes(6, "text")))
                                      .file());
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        QCOMPARE((*model)->tensors.size(), std::size_t(3));
        QVERIFY(!(*model)->tensors[2].view.decodable());
        const auto& warnings = (*model)->warnings;
        QVERIFY(std::any_of(warnings.begin(), warnings.end(),
            [](const std::string& text) { return text == "1 tensor of text is left out."; }));
    }

    /// The number of element [row][column] of what the layer computes, from the definition of the operator.
    void whichWayRound_data()
    {
        QTest::addColumn<QByteArray>("file");
        QTest::addColumn<QVector<float>>("rows");
        QTest::addColumn<int>("columns");
        const auto row = [](const char* title, OnnxBuilder& builder, QVector<float> rows, int columns) {
            const auto file = builder.file();
            QTest::newRow(title) << QByteArray(file.data(), qsizetype(file.size())) << std::move(rows) << columns;
        };
        const auto with = [](const Extents& extents) {
            const auto count = std::accumulate(extents.begin(), extents.end(), std::int64_t {1}, std::multiplies());
            OnnxBuilder builder;
            builder.tensor("w", 1, extents, counting(std::size_t(count)));
            return builder;
        };
        row("MatMul", with({2, 3}).node("MatMul", {"x", "w"}, "y"), {1, 4, 2, 5, 3, 6}, 2);
        row("MatMul of experts", with({2, 2, 2}).node("MatMul", {"x", "w"}, "y"), {1, 3, 2, 4, 5, 7, 6, 8}, 2);
        row("W·x", with({2, 3}).node("MatMul", {"w", "x"}, "y"), {1, 2, 3, 4, 5, 6}, 3);
        row("Gemm", with({2, 3}).node("Gemm", {"x", "w", "b"}, "y"), {1, 4, 2, 5, 3, 6}, 2);
        row("Gemm, transB", with({2, 3}).node("Gemm", {"x", "w"}, "y", attribute("transB", 1)), {1, 2, 3, 4, 5, 6}, 3);
        row("Transpose before MatMul",
            with({2, 3})
                .node("Transpose", {"w"}, "t", attribute("perm", Extents {1, 0}))
                .node("MatMul", {"x", "t"}, "y"),
            {1, 2, 3, 4, 5, 6}, 3);
        row("Identity and Cast",
            with({2, 3}).node("Identity", {"w"}, "i").node("Cast", {"i"}, "c").node("MatMul", {"x", "c"}, "y"),
            {1, 4, 2, 5, 3, 6}, 2);
        row("Conv", with({2, 1, 2}).node("Conv", {"x", "w"}, "y"), {1, 2, 3, 4}, 2);
        row("Conv, two dimensions", with({2, 2, 1, 2}).node("Conv", {"x", "w"}, "y"), {1, 2, 3, 4, 5, 6, 7, 8}, 4);
        // [in = 2, out = 3, 2]: row o holds w[i][o][k] for all i, k.
        row("ConvTranspose", with({2, 3, 2}).node("ConvTranspose", {"x", "w"}, "y"),
            {1, 2, 7, 8, 3, 4, 9, 10, 5, 6, 11, 12}, 4);
        // [in = 4, out per group = 1, 2], two groups of two inputs.
        row("ConvTranspose in groups", with({4, 1, 2}).node("ConvTranspose", {"x", "w"}, "y", attribute("group", 2)),
            {1, 2, 3, 4, 5, 6, 7, 8}, 4);
        row("Gather", with({3, 2}).node("Gather", {"w", "ids"}, "y"), {1, 2, 3, 4, 5, 6}, 2);
        row("LSTM", with({1, 4, 2}).node("LSTM", {"x", "w", "r"}, "y"), {1, 2, 3, 4, 5, 6, 7, 8}, 2);
        row("embedding that is the head too",
            with({3, 2})
                .node("Gather", {"w", "ids"}, "y")
                .node("Transpose", {"w"}, "t")
                .node("MatMul", {"x", "t"}, "z"),
            {1, 2, 3, 4, 5, 6}, 2);
    }

    void whichWayRound()
    {
        QFETCH(const QByteArray, file);
        QFETCH(const QVector<float>, rows);
        QFETCH(const int, columns);
        const auto model = opened(file.toStdString());
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        QCOMPARE((*model)->tensors.size(), std::size_t(1));
        const auto& tensor = (*model)->tensors[0];
        QVERIFY(tensor.quantizable());
        QCOMPARE(matrixShape(tensor.view).columns, std::uint64_t(columns));
        QCOMPARE(valuesOf(tensor.view), Floats(rows.begin(), rows.end()));
        std::vector<float> one {Floats(std::size_t(columns))};
        const auto last = matrixShape(tensor.view).rows - 1;
        decodeRows(tensor.view, last, 1, one);
        QCOMPARE(one, Floats(rows.end() - columns, rows.end()));
    }

    void constantsOfNodesAndOfGraphsInside()
    {
        const auto value = [](float number) {
            return bytes(
                5, bytes(1, "value") + bytes(5, onnxTensor("", 1, {1}, bytes(9, raw(number)))) + tests::number(20, 4));
        };
        OnnxBuilder inner;
        inner.node("Constant", {}, "c", value(2.0F)).node("MatMul", {"x", "outer"}, "y");
        const auto branch = [&](const char* name) { return bytes(5, bytes(1, name) + bytes(6, inner.graph)); };
        const auto model = opened(OnnxBuilder()
                                      .tensor("outer", 1, {2, 2}, counting(4))
                                      .node("Constant", {}, "c0", value(1.0F))
                                      .node("If", {"cond"}, "z", branch("then_branch") + branch("else_branch"), "If_1")
                                      .file());
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        QCOMPARE((*model)->tensors.size(), std::size_t(4));
        QVERIFY((*model)->find("c0") && (*model)->find("If_1/then_branch/c") && (*model)->find("If_1/else_branch/c"));
        QVERIFY((*model)->tensors[*(*model)->find("outer")].view.transposed);
    }

    void namesAndRoles()
    {
        const auto model =
            opened(OnnxBuilder()
                       .tensor("onnx::MatMul_7", 1, {2, 2}, counting(4))
                       .tensor("model.layers.3.mlp.up_proj.MatMul.weight", 1, {2, 2}, counting(4))
                       .tensor("embed", 1, {2, 2}, counting(4))
                       .tensor("scale", 1, {2}, counting(2))
                       .tensor("added", 1, {2}, counting(2))
                       .tensor("mask", 1, {2, 2}, counting(4))
                       .node("MatMul", {"x", "onnx::MatMul_7"}, "q", {}, "/model/layers.1/self_attn/q_proj/MatMul")
                       .node("MatMul", {"x", "model.layers.3.mlp.up_proj.MatMul.weight"}, "u")
                       .node("Add", {"added", "u"}, "ub")
                       .node("Gather", {"embed", "ids"}, "e")
                       .node("LayerNormalization", {"x", "scale"}, "n")
                       .node("Add", {"x", "mask"}, "m")
                       .file());
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        const auto partsOf = [&](const char* name) {
            const auto index = (*model)->find(name);
            return index ? (*model)->tensors[*index].parts : NameParts {};
        };
        QVERIFY(partsOf("model.layers.1.self_attn.q_proj.weight").role == TensorRole::Query);
        QVERIFY(partsOf("model.layers.1.self_attn.q_proj.weight").block == 1U);
        QVERIFY(partsOf("model.layers.3.mlp.up_proj.MatMul.weight").role == TensorRole::Up);
        QVERIFY(partsOf("embed").role == TensorRole::Embedding);
        QVERIFY(partsOf("scale").role == TensorRole::Norm);
        QVERIFY(partsOf("added").role == TensorRole::Bias);
        QCOMPARE((*model)->quantizableTensors().size(), std::size_t(3));
    }

    void numbersInOtherFiles()
    {
        m_folder.write("weights.bin", rawList(Floats {9, 1, 2, 3}));
        std::filesystem::create_directory(m_folder.path() / "data");
        m_folder.write("data/more.bin", rawList(Floats {4, 5}));
        const auto model = opened(OnnxBuilder()
                                      .tensor(externalTensor("a", 1, {3}, "weights.bin", "4"))
                                      .tensor(externalTensor("b", 1, {2}, "./data/more.bin"))
                                      .file());
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        QCOMPARE(valuesOf((*model)->tensors[0].view), (Floats {1, 2, 3}));
        QCOMPARE(valuesOf((*model)->tensors[1].view), (Floats {4, 5}));
        QCOMPARE((*model)->files.size(), std::size_t(3));
        QCOMPARE((*model)->tensors[0].offset, std::uint64_t(4));
    }

    void recognisedByContent()
    {
        const auto file = OnnxBuilder().tensor("w", 1, {1}, counting(1)).file();
        QVERIFY(openModel(m_folder.write("without_extension", file)));
        // A long text before the graph: the head ends inside it.
        const auto documented = number(1, 8) + bytes(6, std::string(9'000, 'd')) + bytes(7, OnnxBuilder().graph);
        QVERIFY(openModel(m_folder.write("documented", documented)));
        const auto other = openModel(m_folder.write("other", std::string("\x08\x03\x00\x00\x00", 5)));
        QVERIFY(!other && other.error().code == ErrorCode::NotThisFormat);
    }
};

QTEST_APPLESS_MAIN(TestOnnx)
#include "tst_onnx.moc"
