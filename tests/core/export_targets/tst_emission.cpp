// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/export_targets/emission.h"
#include "tests/support/model_catalogs.h"

#include <QFile>
#include <QProcess>
#include <QTemporaryDir>
#include <QTest>

#include <algorithm>
#include <random>
#include <regex>

using namespace quantloupe;

namespace {

QByteArray contentOf(const std::filesystem::path& path)
{
    QFile file(QString::fromStdString(path.string()));
    return file.open(QIODevice::ReadOnly) ? file.readAll() : QByteArray("?");
}

}  // namespace

class TestEmission : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void targetsAreListed()
    {
        QStringList names;
        for (const auto* target : exportTargets()) {
            names << QString::fromUtf8(target->name.data(), qsizetype(target->name.size()));
            QVERIFY(findExportTarget(target->name) == target);
            QVERIFY(!target->title.empty() && target->description.ends_with('.') && target->suffix.starts_with('.'));
        }
        QCOMPARE(names,
            (QStringList {"quantloupe", "llama.cpp", "ik_llama", "compressed-tensors", "llm-compressor", "gptqmodel",
                "modelopt", "torchao", "neural-compressor", "nncf", "mlx", "onnxruntime"}));
        QVERIFY(!findExportTarget("nothing"));
    }

    void nativeExportIsTheRecipe()
    {
        const auto model = tests::llama();
        auto recipe = Recipe::uniform(tests::scheme("int4"), model);
        recipe.notes = "kept";
        const auto result = findExportTarget("quantloupe")->write(recipe, resolve(recipe, model), model);
        QVERIFY(result);
        QCOMPARE(result->files.size(), std::size_t(1));
        QVERIFY(Recipe::fromJson(result->files[0].content, "r").value() == recipe);
    }

    void everyExportCarriesItsRecipe_data()
    {
        QTest::addColumn<QByteArray>("name");
        QTest::newRow("llama.cpp") << QByteArray("llama.cpp");
        QTest::newRow("compressed-tensors") << QByteArray("compressed-tensors");
    }

    void everyExportCarriesItsRecipe()
    {
        QFETCH(QByteArray, name);
        const auto model = tests::llama({.hidden = 256, .intermediate = 768});
        const auto recipe = Recipe::uniform(tests::scheme("int4"), model);
        const auto* target = findExportTarget(name.constData());
        const auto result = target->write(recipe, resolve(recipe, model), model);
        QVERIFY(result);
        QCOMPARE(result->files.back().name, std::string(".plan.json"));
        const auto again = Recipe::fromJson(result->files.back().content, "plan").value();
        const auto second = target->write(again, resolve(again, model), model).value();
        for (std::size_t i = 0; i < second.files.size(); ++i)
            QCOMPARE(second.files[i].content, result->files[i].content);
        for (const auto& file : result->files)
            QVERIFY(file.content.find('\r') == std::string::npos && file.content.ends_with('\n'));
    }

    void regexesMatchTheirNamesOnly_data()
    {
        QTest::addColumn<int>("seed");
        for (int seed = 0; seed < 20; ++seed)
            QTest::addRow("seed %d", seed) << seed;
    }

    void regexesMatchTheirNamesOnly()
    {
        QFETCH(int, seed);
        std::mt19937 random {unsigned(seed)};
        const auto model = seed % 2 ? tests::mixtral(5, {.blocks = 12}) : tests::llama({.blocks = 30});
        std::vector<std::string> in, out;
        for (const auto& tensor : model.tensors)
            (random() % 3 ? in : out).push_back(tensor.name);
        std::vector<int> hits(in.size(), 0);
        for (const auto& text : exactRegexes(in)) {
            const std::regex regex("^" + text + "$");
            for (std::size_t i = 0; i < in.size(); ++i)
                hits[i] += std::regex_search(in[i], regex);
            for (const auto& name : out)
                QVERIFY(!std::regex_search(name, regex));
        }
        QVERIFY(std::all_of(hits.begin(), hits.end(), [](int count) { return count == 1; }));
    }

    void regexesAreShort()
    {
        QCOMPARE(exactRegexes({"blk.0.ffn_up.weight", "blk.1.ffn_up.weight", "blk.5.ffn_up.weight"}),
            (std::vector<std::string> {R"re(blk\.(0|1|5)\.ffn_up\.weight)re"}));
        QCOMPARE(exactRegexes({"a.0.e.1.w", "a.0.e.2.w", "a.3.e.1.w", "a.3.e.2.w", "b+c"}),
            (std::vector<std::string> {R"re(a\.(0|3)\.e\.(1|2)\.w)re", R"re(b\+c)re"}));
        QCOMPARE(exactRegexes({"7", "a.1.2.3.x"}), (std::vector<std::string> {"7", R"re(a\.1\.2\.3\.x)re"}));
    }

    void orderRunsFromInputToOutput()
    {
        auto model = tests::llama({.blocks = 11, .tied = false});
        const auto before = model;
        std::mt19937 random {1};
        std::shuffle(model.tensors.begin(), model.tensors.end(), random);
        std::vector<std::string> names, expected;
        for (const auto index : emissionOrder(model))
            names.push_back(model.tensors[index].name);
        for (const auto index : emissionOrder(before))
            expected.push_back(before.tensors[index].name);
        QCOMPARE(names, expected);
        QCOMPARE(names.front(), std::string("model.embed_tokens.weight"));
        QCOMPARE(names[1], std::string("model.layers.0.self_attn.q_proj.weight"));
        QVERIFY(std::find(names.begin(), names.end(), "model.layers.2.mlp.up_proj.weight")
            < std::find(names.begin(), names.end(), "model.layers.10.mlp.up_proj.weight"));
    }

    void shellWords_data()
    {
        QTest::addColumn<QString>("word");
        for (const char* word :
            {"plain", "with space", "it's", "$(reboot)", "a\"b", "`x`", "-flag", "", "*", "a\\b", "ünï"})
            QTest::newRow(word) << QString::fromUtf8(word);
    }

    void shellWords()
    {
        QFETCH(QString, word);
        QProcess shell;
        shell.start("/bin/sh", {"-c", "printf %s " + QString::fromStdString(shellQuoted(word.toStdString()))});
        QVERIFY(shell.waitForFinished());
        QCOMPARE(QString::fromUtf8(shell.readAllStandardOutput()), word);
    }

    void defaultNames()
    {
        const auto* target = findExportTarget("llama.cpp");
        const auto nameFor = [&](const char* path) {
            ModelCatalog model;
            model.path = path;
            return defaultExportName(*target, model);
        };
        QCOMPARE(nameFor("/a/tiny.gguf"), std::string("tiny.tensor-types.txt"));
        QCOMPARE(nameFor("/a/model.safetensors.index.json"), std::string("model.tensor-types.txt"));
        QCOMPARE(nameFor("/a/Llama-3.1-8B/"), std::string("Llama-3.1-8B.tensor-types.txt"));
        QCOMPARE(nameFor("sample"), std::string("sample.tensor-types.txt"));
        QCOMPARE(nameFor(""), std::string("model.tensor-types.txt"));
    }

    void writesAllOrNothing()
    {
        QTemporaryDir folder;
        const auto path = std::filesystem::path(folder.path().toStdString()) / "out.txt";
        const ExportResult result {.files = {{"", "main\n"}, {".plan.json", "{}\n"}}, .warnings = {}, .command = {}};
        const auto written = writeExport(result, path, false);
        QVERIFY(written);
        QCOMPARE(written->size(), std::size_t(2));
        QCOMPARE(contentOf((*written)[0]), QByteArray("main\n"));
        QCOMPARE((*written)[1].filename().string(), std::string("out.txt.plan.json"));
        QCOMPARE(contentOf((*written)[1]), QByteArray("{}\n"));

        const auto refused = writeExport({.files = {{"", "new\n"}}, .warnings = {}, .command = {}}, path, false);
        QCOMPARE(refused.error().code, ErrorCode::Conflict);
        QCOMPARE(contentOf(path), QByteArray("main\n"));
        QVERIFY(writeExport({.files = {{"", "new\n"}}, .warnings = {}, .command = {}}, path, true));
        QCOMPARE(contentOf(path), QByteArray("new\n"));

        // A conflict with the second file leaves the first unwritten.
        std::filesystem::remove(path);
        QCOMPARE(writeExport(result, path, false).error().code, ErrorCode::Conflict);
        QVERIFY(!std::filesystem::exists(path));
        QCOMPARE(writeExport(result, path.parent_path() / "no" / "such" / "folder", true).error().code,
            ErrorCode::CannotWrite);
    }
};

QTEST_APPLESS_MAIN(TestEmission)
#include "tst_emission.moc"
