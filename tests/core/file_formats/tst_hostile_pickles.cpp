// SPDX-License-Identifier: GPL-3.0-or-later
// Pickles that would run programs in Python, and ones that break the rules in any other way: each is refused with a
// reason, quickly, in memory in proportion to the file.
#include "tests/support/bounded_open.h"
#include "tests/support/checkpoint_files.h"
#include "tests/support/torch_files.h"

#include <QTest>

#include <ctime>

using namespace quantloupe;
using namespace quantloupe::tests::pickle;
using tests::CheckpointFolder;
using tests::raw;
using tests::TorchBuilder;

namespace {

/// A file whose pickle makes this, with storage "0" of six floats.
std::string fileWith(const std::string& object)
{
    return TorchBuilder {object, {{"0", std::string(24, '\0')}}}.archive().file();
}

}  // namespace

class TestHostilePickles : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void refuses_data()
    {
        QTest::addColumn<QByteArray>("object");
        QTest::addColumn<int>("code");
        QTest::addColumn<QByteArray>("reason");
        const auto row = [](const char* title, const std::string& object, ErrorCode code, const char* reason) {
            QTest::newRow(title) << QByteArray(object.data(), qsizetype(object.size())) << int(code)
                                 << QByteArray(reason);
        };
        const auto runs = [&](const char* module, const char* name) {
            const auto title = std::string(module) + "." + name;
            row(title.c_str(), call(module, name, text("true")), ErrorCode::Unsupported, "tries to run code");
        };
        runs("os", "system");
        runs("posix", "system");
        runs("nt", "system");
        runs("subprocess", "Popen");
        runs("builtins", "eval");
        runs("builtins", "exec");
        runs("builtins", "getattr");
        runs("builtins", "__import__");
        runs("__builtin__", "eval");
        runs("importlib", "import_module");
        runs("runpy", "_run_code");
        runs("torch.hub", "load");
        runs("torch", "load");
        runs("operator", "attrgetter");
        runs("pickle", "loads");
        row("os.system named only", dictionary({{"a", global("os", "system")}}), ErrorCode::Unsupported, "run code");
        row("os.system by two texts", text("os") + text("system") + "\x93" + tuple(text("true")) + "R",
            ErrorCode::Unsupported, "run code");
        row("os.system as a class", global("os", "system") + ")\x81", ErrorCode::Unsupported, "run code");
        row("a class of the author's", call("models.yolo", "Model", ""), ErrorCode::Unsupported, "save a state_dict");
        row("a new object of it", global("models.yolo", "Model") + ")\x81}b", ErrorCode::Unsupported, "state_dict");
        row("a function unknown", call("numpy.random", "seed", integer(1)), ErrorCode::Unsupported, "state_dict");
        row("by way of a type",
            call("torch._tensor", "_rebuild_from_type_v2", global("m", "f") + global("m", "T") + ")" + "N"),
            ErrorCode::Unsupported, "state_dict");
        row("text as function", text("f") + ")R", ErrorCode::Malformed, "not a function");
        row("module in a persistent id", tuple(text("module") + "NNNN") + "Q", ErrorCode::Malformed, "persistent id");
        for (const auto& [name, code] : std::initializer_list<std::pair<const char*, const char*>> {{"POP", "0"},
                 {"POP_MARK", "1"}, {"DUP", "2"}, {"INST", "ios\nsystem\n"}, {"OBJ", "o"}, {"PERSID", "P0\n"},
                 {"EXT1", "\x82\x01"}, {"EXT2", "\x83\x01\x01"}, {"NEWOBJ_EX", "\x92"}, {"BYTEARRAY8", "\x96"},
                 {"NEXT_BUFFER", "\x97"}, {"INT", "I1\n"}, {"LONG", "L1\n"}, {"FLOAT", "F1\n"}, {"STRING", "S'a'\n"},
                 {"UNICODE", "Va\n"}, {"LONG4", "\x8b"}, {"GET", "g0\n"}, {"PUT", "p0\n"}})
            row(name, std::string("N") + code, ErrorCode::Unsupported, "which weights do not need");
        row("nothing", "", ErrorCode::Malformed, "where there is none");
        row("underflow", "a", ErrorCode::Malformed, "where there is none");
        row("below the mark", "](a", ErrorCode::Malformed, "where there is none");
        row("no mark", "]e", ErrorCode::Malformed, "no mark|mark where there is none");
        row("key without value", "}(" + text("a") + "u", ErrorCode::Malformed, "without a value");
        row("key of a list", "]NNs", ErrorCode::Malformed, "does not hold");
        row("append to a dictionary", "}Na", ErrorCode::Malformed, "does not hold");
        row("append to a number", integer(1) + "Na", ErrorCode::Malformed, "does not hold");
        row("memo never made", "h\x05", ErrorCode::Malformed, "never made");
        row("memo far away", "Nr" + raw(std::uint32_t {0xFFFFFFFF}), ErrorCode::Malformed, "far from");
        row("whole number too wide", "\x8a\xff" + std::string(255, '\1'), ErrorCode::Unsupported, "16 bytes");
        row("text past the end", "X" + raw(std::uint32_t {0xFFFFFFFF}), ErrorCode::Truncated, "too soon");
        row("text of 2^64 bytes", "\x8d" + raw(~std::uint64_t {0}), ErrorCode::Truncated, "too soon");
        row("no tensors", dictionary({{"epoch", integer(1)}}), ErrorCode::Unsupported, "no dictionary of tensors");
        row("a list", "]", ErrorCode::Unsupported, "no dictionary of tensors");
        row("a list in itself", "]q" + raw('\0') + "h" + raw('\0') + "a", ErrorCode::Unsupported, "no dictionary");
        row("a dictionary in itself", "}q" + raw('\0') + text("model") + "h" + raw('\0') + "s", ErrorCode::Unsupported,
            "no dictionary of tensors");
        std::string deep = tensor(storage("FloatStorage", "0", 6), 0, {2, 3}, {3, 1});
        for (int i = 0; i < 100; ++i)
            deep = dictionary({{"model", deep}});
        row("too deep", deep, ErrorCode::Malformed, "deeper than 64");
        row("marks without end", std::string(2'000'000, '('), ErrorCode::Unsupported, "million");
        row("stack without end", std::string(2'000'000, 'N'), ErrorCode::Unsupported, "more operations");
        // One list given to many calls: work must stay in proportion to the bytes.
        std::string pairs = "](";
        for (int i = 0; i < 100'000; ++i)
            pairs += "NN\x86";
        std::string calls = pairs + "eq" + raw('\0') + global("collections", "OrderedDict") + "q\1";
        for (int i = 0; i < 100'000; ++i)
            calls += std::string("h\1h\0\x85R", 6);
        row("a list given to many calls", calls, ErrorCode::Unsupported, "too many");

        // One dictionary in many others, and a long key in front of many names.
        const auto tensorHere = tensor(storage("FloatStorage", "0", 6), 0, {2, 3}, {3, 1});
        std::string others = "}(" + text("k") + "}q" + raw('\0') + "(" + text("w") + tensorHere + "q\1";
        for (int i = 0; i < 20'000; ++i)
            others += text(std::to_string(i)) + "h\1";
        others += "u";
        for (int i = 0; i < 20'000; ++i)
            others += text("k" + std::to_string(i)) + "h" + raw('\0');
        row("a dictionary in many others", others + "u", ErrorCode::Unsupported, "in many others");
        std::string names =
            "}(" + text("model") + "}(" + text(std::string(60'000, 'n')) + "}(" + text("w") + tensorHere + "q\1";
        for (int i = 0; i < 20'000; ++i)
            names += text(std::to_string(i)) + "h\1";
        row("a long key before many names", names + "uuu", ErrorCode::Unsupported, "in many others");

        const auto made = [&](const char* title, const std::string& pickled, ErrorCode code, const char* reason) {
            row(title, dictionary({{"w", pickled}}), code, reason);
        };
        const auto id = storage("FloatStorage", "0", 6);
        made("past the storage", tensor(id, 1, {2, 3}, {3, 1}), ErrorCode::Malformed, "past its storage");
        made("place past the storage", tensor(id, 7, {0}, {1}), ErrorCode::Malformed, "past its storage");
        made("negative place", tensor(id, -1, {2, 3}, {3, 1}), ErrorCode::Malformed, "cannot be");
        made("negative extent", tensor(id, 0, {-2, 3}, {3, 1}), ErrorCode::Malformed, "cannot be");
        made("negative stride", tensor(id, 5, {2, 3}, {-3, 1}), ErrorCode::Malformed, "cannot be");
        made("strides too few", tensor(id, 0, {2, 3}, {1}), ErrorCode::Malformed, "cannot be");
        made("nine extents", tensor(id, 0, {1, 1, 1, 1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1, 1, 1}),
            ErrorCode::Malformed, "cannot be");
        const auto half = std::int64_t {1} << 62;
        made("product of 2^124", tensor(id, 0, {half, half}, {0, 0}), ErrorCode::Malformed, "overflows");
        made("stride of 2^62", tensor(id, 0, {9, 1}, {half, 1}), ErrorCode::Malformed, "past its storage");
        made("sum of strides past 2^64", tensor(id, 0, {4, 2}, {half, half}), ErrorCode::Malformed, "past its storage");
        made("one element a million times", tensor(id, 0, {2'000'000}, {0}), ErrorCode::Unsupported, "64 times");
        made("no storage", tensor("N", 0, {1}, {1}), ErrorCode::Malformed, "not a storage");
        made("storage of another size", tensor(storage("FloatStorage", "0", 5), 0, {5}, {1}), ErrorCode::Malformed,
            "has 24 bytes");
        made("storage of 2^63 elements", tensor(storage("FloatStorage", "0", INT64_MAX), 0, {5}, {1}),
            ErrorCode::Malformed, "overflows");
        made(
            "storage missing", tensor(storage("FloatStorage", "9", 6), 0, {5}, {1}), ErrorCode::Malformed, "no member");
        made("storage outside", tensor(storage("FloatStorage", "../version", 6), 0, {5}, {1}), ErrorCode::Malformed,
            "no member");
        const auto twice = tensor(id, 0, {2, 3}, {3, 1});
        row("a name twice", dictionary({{"w", twice}, {"w", twice}}), ErrorCode::Malformed, "already");
        row("name not UTF-8", dictionary({{"\xff", twice}}), ErrorCode::Malformed, "which is none");
        row("name with NUL", dictionary({{std::string("a\0b", 3), twice}}), ErrorCode::Malformed, "which is none");
    }

    void refuses()
    {
        QFETCH(const QByteArray, object);
        QFETCH(const int, code);
        QFETCH(const QByteArray, reason);
        const CheckpointFolder folder;
        const auto path = folder.write("a.pt", fileWith(object.toStdString()));
        const auto before = std::clock();
        const auto model = openModel(path);
        QVERIFY2(std::clock() - before < 5 * CLOCKS_PER_SEC * std::clock_t {quantloupe::tests::kAllowance}, "slow");
        QVERIFY(!model);
        const auto said = describe(model.error());
        bool told = false;
        for (const auto& part : reason.split('|'))
            told |= model.error().reason.find(part.constData()) != std::string::npos;
        QVERIFY2(told, said.c_str());
        QVERIFY2(int(model.error().code) == code, said.c_str());
    }

    /// Whatever follows, in a state in which each operation finds something to work on.
    void everyOperation()
    {
        const CheckpointFolder folder;
        const auto one = tensor(storage("FloatStorage", "0", 6), 0, {2, 3}, {3, 1});
        for (const auto& before : {std::string(), std::string("N"), std::string("]("), std::string("}(NN"), one,
                 one + "}", text("os") + text("system"), global("collections", "OrderedDict") + ")"})
            for (int operation = 0; operation < 256; ++operation)
                for (const auto& after :
                    {std::string(), std::string(3, '\0'), std::string(12, '\xff'), std::string("a\nb\n")}) {
                    const auto object = before + char(operation) + after;
                    const auto model = openModel(folder.write("a.pt", fileWith(object)));
                    const bool same = operation == '.' || object.find(one + ".") == 0;
                    QVERIFY2(
                        !model || same || before.starts_with(one), qPrintable(QString("operation %1").arg(operation)));
                    if (!model)
                        QVERIFY(model.error().code != ErrorCode::Internal && !model.error().reason.empty());
                }
    }
};

QTEST_APPLESS_MAIN(TestHostilePickles)
#include "tst_hostile_pickles.moc"
