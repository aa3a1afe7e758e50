// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/float_bits.h"
#include "tests/support/checkpoint_files.h"
#include "tests/support/tensor_figures.h"
#include "tests/support/torch_files.h"

#include <QTest>

#include <cmath>

using namespace quantloupe;
using namespace quantloupe::tests::pickle;
using tests::CheckpointFolder;
using tests::raw;
using tests::TorchBuilder;
using tests::valuesOf;

namespace {

/// 0, 1, 2, … as elements of a storage.
template<class Number>
std::string ramp(std::size_t count)
{
    std::string bytes;
    for (std::size_t i = 0; i < count; ++i)
        bytes += raw(static_cast<Number>(i));
    return bytes;
}

const ModelTensor* find(const Model& model, std::string_view name)
{
    const auto index = model.find(name);
    return index ? &model.tensors[*index] : nullptr;
}

bool warns(const Model& model, const char* part)
{
    for (const auto& text : model.warnings)
        if (text.find(part) != std::string::npos)
            return true;
    return false;
}

/// One float tensor "w" [2, 3] of storage "0".
TorchBuilder simple()
{
    return {dictionary({{"w", tensor(storage("FloatStorage", "0", 6), 0, {2, 3}, {3, 1})}}), {{"0", ramp<float>(6)}}};
}

TorchBuilder withObject(const std::string& object)
{
    return {object, {{"0", ramp<float>(6)}}};
}

}  // namespace

class TestPyTorch : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void viewsOfStorages_data()
    {
        QTest::addColumn<bool>("stream");
        QTest::addColumn<bool>("deflated");
        QTest::newRow("zip") << false << false;
        QTest::newRow("zip, deflated again") << false << true;
        QTest::newRow("stream") << true << false;
    }

    void viewsOfStorages()
    {
        QFETCH(const bool, stream);
        QFETCH(const bool, deflated);
        const auto whole = storage("FloatStorage", "0", 24);
        const TorchBuilder builder {dictionary({
                                        {"model.layers.0.mlp.up_proj.weight", tensor(whole, 0, {4, 6}, {6, 1})},
                                        {"transposed", tensor(whole, 0, {6, 4}, {1, 6})},
                                        {"rows", tensor(whole, 6, {2, 6}, {6, 1})},
                                        {"columns", tensor(whole, 2, {4, 3}, {6, 1})},
                                        {"permuted", tensor(whole, 0, {2, 3, 4}, {1, 2, 6})},
                                        {"repeated", tensor(whole, 3, {5, 2}, {0, 1})},
                                        {"kernel", tensor(whole, 0, {2, 3, 2, 2}, {1, 2, 6, 12})},
                                        {"scalar", tensor(whole, 23, {}, {})},
                                        {"empty", tensor(whole, 24, {0, 7}, {7, 1})},
                                        {"one row", tensor(whole, 0, {1, 6}, {99, 1})},
                                    }),
            {{"0", ramp<float>(24)}}};
        auto zip = builder.archive();
        if (deflated)
            for (auto& member : zip.members) {
                member.packed = tests::deflated(member.packed);
                member.method = member.localMethod = 8;
            }
        const CheckpointFolder folder;
        const auto opened = openModel(folder.write("a.pt", stream ? builder.stream(4) : zip.file()));
        QVERIFY2(opened, opened ? "" : describe(opened.error()).c_str());
        const auto& model = **opened;
        QCOMPARE(model.format, std::string("pytorch"));
        QCOMPARE(model.tensors.size(), std::size_t(10));
        const auto expect = [&](const char* name, std::uint64_t begin, const Shape& shape, const Shape& strides) {
            const auto* found = find(model, name);
            if (!found || found->view.shape != shape || found->view.dtype != DType::F32)
                return false;
            // The elements by their definition: an index of its own for every extent.
            std::vector<float> expected;
            for (std::uint64_t flat = 0; flat < *elementCount(shape); ++flat) {
                auto rest = flat, place = begin;
                for (std::size_t i = shape.size(); i-- > 0; rest /= shape[i])
                    place += rest % shape[i] * strides[i];
                expected.push_back(float(place));
            }
            return valuesOf(found->view) == expected && found->bytes() == 4 * expected.size();
        };
        QVERIFY(expect("model.layers.0.mlp.up_proj.weight", 0, {4, 6}, {6, 1}));
        QVERIFY(expect("transposed", 0, {6, 4}, {1, 6}));
        QVERIFY(expect("rows", 6, {2, 6}, {6, 1}));
        QVERIFY(expect("columns", 2, {4, 3}, {6, 1}));
        QVERIFY(expect("permuted", 0, {2, 3, 4}, {1, 2, 6}));
        QVERIFY(expect("repeated", 3, {5, 2}, {0, 1}));
        QVERIFY(expect("kernel", 0, {2, 3, 2, 2}, {1, 2, 6, 12}));
        QVERIFY(expect("scalar", 23, {}, {}));
        QVERIFY(expect("empty", 24, {0, 7}, {7, 1}));
        QVERIFY(expect("one row", 0, {1, 6}, {99, 1}));
        QVERIFY(find(model, "kernel")->view.convolution);
        const auto& plain = find(model, "model.layers.0.mlp.up_proj.weight")->view;
        QVERIFY(!plain.decoder && bool(plain.deferred) == deflated);
        QVERIFY(!find(model, "one row")->view.decoder);
        QVERIFY(find(model, "transposed")->quantizable() && find(model, "transposed")->view.decoder);
        for (const auto& one : model.tensors)
            if (!deflated && !one.view.bytes.empty())
                QCOMPARE(one.view.bytes.data(), one.view.owner->bytes().data() + one.offset);
    }

    void everyType_data()
    {
        QTest::addColumn<QByteArray>("storage");
        QTest::addColumn<QByteArray>("type");
        QTest::addColumn<int>("bytes");
        const std::pair<const char*, const char*> rows[] = {{"DoubleStorage", "F64"}, {"FloatStorage", "F32"},
            {"HalfStorage", "F16"}, {"BFloat16Storage", "BF16"}, {"LongStorage", "I64"}, {"IntStorage", "I32"},
            {"ShortStorage", "I16"}, {"CharStorage", "I8"}, {"ByteStorage", "U8"}, {"BoolStorage", "BOOL"},
            {"ComplexFloatStorage", "C64"}, {"uint16", "U16"}, {"uint32", "U32"}, {"uint64", "U64"},
            {"float8_e4m3fn", "F8_E4M3"}, {"float8_e5m2", "F8_E5M2"}, {"float16", "F16"}};
        const int bytes[] = {8, 4, 2, 2, 8, 4, 2, 1, 1, 1, 8, 2, 4, 8, 1, 1, 2};
        for (std::size_t i = 0; i < std::size(rows); ++i)
            QTest::newRow(rows[i].first) << QByteArray(rows[i].first) << QByteArray(rows[i].second) << bytes[i];
    }

    void everyType()
    {
        QFETCH(const QByteArray, storage);
        QFETCH(const QByteArray, type);
        QFETCH(const int, bytes);
        const bool typed = storage.endsWith("Storage");
        // Types younger than typed storages come with storages of bytes.
        const auto object = typed
            ? tensor(tests::pickle::storage(storage.toStdString(), "0", 6), 2, {2, 2}, {2, 1})
            : call("torch._utils", "_rebuild_tensor_v3",
                tests::pickle::storage("torch.storage.UntypedStorage", "0", 6 * bytes) + integer(2) + integers({2, 2})
                    + integers({2, 1}) + "\x89" + call("collections", "OrderedDict", "")
                    + global("torch", storage.toStdString()));
        const TorchBuilder builder {dictionary({{"w", object}}), {{"0", std::string(std::size_t(6 * bytes), '\1')}}};
        const CheckpointFolder folder;
        const auto model = openModel(folder.write("a.pt", builder.archive().file()));
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        const auto& view = (*model)->tensors[0].view;
        QCOMPARE(nameOf(view.dtype), std::string_view(type.constData()));
        QCOMPARE(view.bytes.size(), std::size_t(4 * bytes));
    }

    void tiedWeightsAreNoticed()
    {
        const auto shared = tensor(storage("FloatStorage", "0", 6), 0, {3, 2}, {2, 1});
        const CheckpointFolder folder;
        const auto model = openModel(folder.write("a.pt",
            TorchBuilder {dictionary({{"model.embed_tokens.weight", shared}, {"lm_head.weight", shared}}),
                {{"0", ramp<float>(6)}}}
                .archive()
                .file()));
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        QVERIFY((*model)->config.tiedEmbeddings);
        QCOMPARE((*model)->parameters(), std::uint64_t(6));
        QCOMPARE((*model)->bytes(), std::uint64_t(24));
        QVERIFY(warns(**model, "'lm_head.weight = model.embed_tokens.weight'"));
    }

    void findsTheStateDict_data()
    {
        QTest::addColumn<QByteArray>("object");
        QTest::addColumn<QStringList>("names");
        QTest::addColumn<QByteArray>("warning");
        const auto one = tensor(storage("FloatStorage", "0", 6), 0, {2, 3}, {3, 1});
        const auto row = [](const char* title, const std::string& object, const QStringList& names,
                             const char* warning = "") {
            QTest::newRow(title) << QByteArray(object.data(), qsizetype(object.size())) << names << QByteArray(warning);
        };
        row("plain, with other values", dictionary({{"a", one}, {"epoch", integer(3)}, {"b", one}, {"n", "N"}}),
            {"a", "b"});
        row("ordered, with metadata",
            call("collections", "OrderedDict", "") + "(" + text("a") + one + "u" + "}" + text("_metadata")
                + call("collections", "OrderedDict", "") + "sb",
            {"a"});
        row("ordered, as Python 2 writes it", call("collections", "OrderedDict", "]]" + text("a") + "a" + one + "aa"),
            {"a"});
        row("under state_dict",
            dictionary({{"optimizer", dictionary({{"x", one}, {"y", one}})}, {"state_dict", dictionary({{"a", one}})}}),
            {"a"});
        row("the largest of two",
            dictionary({{"ema", dictionary({{"a", one}, {"b", one}})}, {"model", dictionary({{"c", one}})}}),
            {"a", "b"}, "others under 'model'");
        row("nested", dictionary({{"model", dictionary({{"enc", dictionary({{"a", one}})}, {"b", one}})}}),
            {"enc.a", "b"});
        row("under another name", dictionary({{"weights", dictionary({{"a", one}})}}), {"a"});
        row("parameters", dictionary({{"a", call("torch._utils", "_rebuild_parameter", one + "\x88}")}}), {"a"});
        row("one tensor", one, {"tensor"});
        row("numbers as keys", "}(" + integer(7) + one + "u", {"7"});
        row("quantized tensors",
            dictionary({{"a", one}, {"q", call("torch._utils", "_rebuild_qtensor", storage("QInt8Storage", "0", 24))}}),
            {"a"}, "left out: 'q'");
        row("TorchScript",
            global("__torch__.net", "Net") + ")\x81"
                + dictionary({{"training", "\x88"},
                    {"fc",
                        global("__torch__.torch.nn", "Linear") + ")\x81" + dictionary({{"weight", one}, {"bias", one}})
                            + "b"}})
                + "b",
            {"fc.weight", "fc.bias"});
        row("protocol 4", "\x95" + raw(std::uint64_t {9}) + "}\x94" + "\x8c\x01" + "a" + one + "s", {"a"});
        row("classes of an optimizer", dictionary({{"type", global("torch.optim.sgd", "SGD")}, {"a", one}}), {"a"});
    }

    void findsTheStateDict()
    {
        QFETCH(const QByteArray, object);
        QFETCH(const QStringList, names);
        QFETCH(const QByteArray, warning);
        const CheckpointFolder folder;
        const auto model = openModel(folder.write("a.pt", withObject(object.toStdString()).archive().file()));
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        QStringList found;
        for (const auto& one : (*model)->tensors)
            found << QString::fromStdString(one.name);
        QCOMPARE(found, names);
        QVERIFY(warning.isEmpty() || warns(**model, warning.constData()));
    }

    void wrappersDoNotHideRoles()
    {
        const auto one = tensor(storage("FloatStorage", "0", 6), 0, {2, 3}, {3, 1});
        const CheckpointFolder folder;
        const auto model = openModel(
            folder.write("a.pt", withObject(dictionary({{"module._orig_mod.lm_head.weight", one}})).archive().file()));
        QVERIFY(model);
        QVERIFY((*model)->tensors[0].parts.role == TensorRole::LmHead);
    }

    void refusesTruncation()
    {
        const CheckpointFolder folder;
        const auto builder = simple();
        const auto operations = tests::pickle::file(builder.object);
        for (std::size_t length = 0; length < operations.size(); ++length) {
            auto zip = builder.archive();
            auto& member = zip.members[0];
            member.packed = operations.substr(0, length);
            member.size = length;
            member.checksum = tests::slowCrc32(member.packed);
            const auto model = openModel(folder.write("a.pt", zip.file()));
            QVERIFY2(!model && model.error().code == ErrorCode::Truncated, qPrintable(QString::number(length)));
        }
        for (const auto& whole : {builder.archive().file(), builder.stream(4)}) {
            QVERIFY(openModel(folder.write("a.pt", whole)));
            for (std::size_t length = 0; length < whole.size(); ++length) {
                const auto model = openModel(folder.write("a.pt", whole.substr(0, length)));
                QVERIFY2(!model, qPrintable(QString::number(length)));
                QVERIFY2(length < 64 || model.error().code == ErrorCode::Truncated, describe(model.error()).c_str());
            }
            QVERIFY(!openModel(folder.write("a.pt", whole + "x")));
        }
    }

    void archivesThatAreNot_data()
    {
        QTest::addColumn<QByteArray>("file");
        QTest::addColumn<int>("code");
        QTest::addColumn<QByteArray>("reason");
        const auto row = [](const char* title, const std::string& file, ErrorCode code, const char* reason) {
            QTest::newRow(title) << QByteArray(file.data(), qsizetype(file.size())) << int(code) << QByteArray(reason);
        };
        const auto changed = [&](const char* title, ErrorCode code, const char* reason, auto change) {
            auto zip = simple().archive();
            change(zip);
            row(title, zip.file(), code, reason);
        };
        using tests::ZipBuilder;
        changed("big-endian", ErrorCode::Unsupported, "byte order 'big'", [](ZipBuilder& zip) {
            zip.members.erase(zip.members.begin() + 1);
            zip.store("archive/byteorder", "big\n");
        });
        changed("outside the folder", ErrorCode::Malformed, "outside", [](ZipBuilder& zip) { zip.store("x/y", "z"); });
        changed("no pickle", ErrorCode::NotThisFormat, "without data.pkl",
            [](ZipBuilder& zip) { zip.members.erase(zip.members.begin()); });
        changed("pickle with a wrong checksum", ErrorCode::Malformed, "checksum",
            [](ZipBuilder& zip) { ++zip.members[0].checksum; });
        changed("storage too short", ErrorCode::Malformed, "has 20 bytes", [](ZipBuilder& zip) {
            auto& member = zip.members.back();
            member.packed.resize(20);
            member.size = 20;
        });
        changed("storage too long", ErrorCode::Malformed, "has 28 bytes", [](ZipBuilder& zip) {
            auto& member = zip.members.back();
            member.packed.resize(28);
            member.size = 28;
        });
        row("empty archive", ZipBuilder().file(), ErrorCode::NotThisFormat, "without members");
        for (const char protocol : {'\2', '\3', '\4', '\5'})
            row("bare pickle", std::string("\x80") + protocol + "}.", ErrorCode::NotThisFormat, "bare Python pickle");
        auto tar = std::string(512, '\0');
        tar.replace(257, 5, "ustar");
        row("tar", tar, ErrorCode::NotThisFormat, "tar archive");

        const auto one = dictionary({{"w", tensor(storage("FloatStorage", "0", 6), 0, {2, 3}, {3, 1})}});
        const auto stream = [&](const char* title, const TorchBuilder& builder, ErrorCode code, const char* reason) {
            row(title, builder.stream(4), code, reason);
        };
        stream("stream without its storage", {one, {}}, ErrorCode::Malformed, "not in the file");
        stream("storage nobody has", {one, {{"0", ramp<float>(6)}, {"1", ""}}}, ErrorCode::Malformed, "no tensor has");
        stream("storage of another count", {one, {{"0", ramp<float>(5)}}}, ErrorCode::Malformed, "has 5 elements");
        stream("storage of two types",
            {dictionary({{"v", tensor(storage("ByteStorage", "0", 6), 0, {6}, {1})},
                 {"w", tensor(storage("DoubleStorage", "0", 6), 0, {6}, {1})}}),
                {{"0", std::string(24, '\0')}}},
            ErrorCode::Malformed, "");
        // 2⁶¹ + 8 doubles are 8 of them where a product wraps around.
        const auto wrapped = (std::int64_t {1} << 61U) + 8;
        row("storage named again with a product that wraps",
            TorchBuilder {dictionary({{"v", tensor(storage("DoubleStorage", "0", 8), 0, {8}, {1})},
                              {"w", tensor(storage("DoubleStorage", "0", wrapped), wrapped - 8, {4}, {1})}}),
                {{"0", std::string(64, '\0')}}}
                .stream(8),
            ErrorCode::Malformed, "");
        auto other = simple().stream(4);
        other[18] = '\1';
        row("stream of another protocol", other, ErrorCode::Unsupported, "1001");
        auto swapped = simple().stream(4);
        swapped[swapped.find('\x88')] = '\x89';
        row("stream with its bytes swapped", swapped, ErrorCode::Unsupported, "most significant");
    }

    void archivesThatAreNot()
    {
        QFETCH(const QByteArray, file);
        QFETCH(const int, code);
        QFETCH(const QByteArray, reason);
        const CheckpointFolder folder;
        const auto model = openModel(folder.write("a.pt", file.toStdString()));
        QVERIFY(!model);
        const auto said = describe(model.error());
        QVERIFY2(model.error().reason.find(reason.constData()) != std::string::npos, said.c_str());
        QVERIFY2(int(model.error().code) == code, said.c_str());
    }

    void viewsOfOldStorages()
    {
        // A view of four elements from the second on, of a storage of six.
        const auto view = storage("FloatStorage", "0", 6, tuple(text("v") + integer(1) + integer(4)));
        const CheckpointFolder folder;
        const auto model = openModel(folder.write(
            "a.pt", TorchBuilder {dictionary({{"w", tensor(view, 1, {3}, {1})}}), {{"0", ramp<float>(6)}}}.stream(4)));
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        QCOMPARE(valuesOf((*model)->tensors[0].view), (std::vector<float> {2, 3, 4}));
        const auto past = openModel(folder.write(
            "a.pt", TorchBuilder {dictionary({{"w", tensor(view, 2, {3}, {1})}}), {{"0", ramp<float>(6)}}}.stream(4)));
        QVERIFY(!past && past.error().code == ErrorCode::Malformed);
    }

    void shards()
    {
        const auto part = [](const char* name) {
            return TorchBuilder {dictionary({{name, tensor(storage("FloatStorage", "0", 6), 0, {2, 3}, {3, 1})}}),
                {{"0", ramp<float>(6)}}};
        };
        const CheckpointFolder folder;
        folder.write("optimizer.pt", "not weights");
        folder.write("training_args.bin", "nor are these");
        folder.write("pytorch_model-00001-of-00002.bin", part("model.embed_tokens.weight").archive().file());
        folder.write("pytorch_model-00002-of-00002.bin", part("lm_head.weight").stream(4));
        const auto plain = openModel(folder.path());
        QVERIFY2(plain, plain ? "" : describe(plain.error()).c_str());
        const auto index = folder.write("pytorch_model.bin.index.json",
            R"({"metadata":{"total_size":48},"weight_map":{"lm_head.weight":"pytorch_model-00002-of-00002.bin",)"
            R"("model.embed_tokens.weight":"pytorch_model-00001-of-00002.bin"}})");
        const auto indexed = openModel(index), inFolder = openModel(folder.path());
        QVERIFY2(indexed, indexed ? "" : describe(indexed.error()).c_str());
        QVERIFY(inFolder);
        for (const auto& model : {*plain, *indexed, *inFolder}) {
            QCOMPARE(model->tensors.size(), std::size_t(2));
            QCOMPARE(model->tensors[1].file, std::uint32_t(1));
            QCOMPARE(model->fingerprint, (*plain)->fingerprint);
            QVERIFY(!model->config.tiedEmbeddings && !warns(*model, "index"));
        }
        const auto wrong = openModel(folder.write(
            "pytorch_model.bin.index.json", R"({"weight_map":{"lm_head.weight":"pytorch_model-00001-of-00002.bin"}})"));
        QVERIFY(!wrong && wrong.error().reason.find("is not in") != std::string::npos);
    }
};

QTEST_APPLESS_MAIN(TestPyTorch)
#include "tst_pytorch.moc"
