// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/recipes/edit.h"
#include "tests/support/shared_data.h"
#include "tests/support/tiny_model.h"
#include "widgets/workbench/study_store.h"
#include "widgets/workbench/work_list.h"
#include "widgets/workbench/workbench.h"

#include <QSignalSpy>
#include <QTemporaryDir>
#include <QTest>

#include <fstream>

using quantloupe::Scheme;
namespace tests = quantloupe::tests;

namespace {

constexpr int patience = 60'000;  // milliseconds; the machine may be busy

Scheme scheme(const char* text)
{
    return *Scheme::parse(text);
}
QString text(const std::filesystem::path& path)
{
    return QString::fromStdString(path.string());
}

/// Opens and waits until everything is measured.
bool openAndMeasure(Workbench& workbench, const std::filesystem::path& path)
{
    QSignalSpy opened(&workbench, &Workbench::modelChanged);
    workbench.openModel(text(path));
    return (opened.size() > 0 || opened.wait(patience))
        && QTest::qWaitFor([&] { return !workbench.isAnalyzing() && !workbench.jobs()->isBusy(); }, patience);
}

}  // namespace

class TestWorkbench : public QObject
{
    Q_OBJECT
    QTemporaryDir m_folder;
    int m_count = 0;

    std::filesystem::path model(unsigned blocks = 2, unsigned hidden = 32)
    {
        return tests::writeTinyModel(
            (m_folder.path() + QStringLiteral("/model-%1.safetensors").arg(blocks)).toStdString(), blocks, hidden);
    }

private Q_SLOTS:
    void init()
    {
        QVERIFY(m_folder.isValid());
        qputenv("QUANTLOUPE_DATA", (m_folder.path() + QStringLiteral("/data-%1").arg(++m_count)).toUtf8());
    }

    void beginsEmpty()
    {
        Workbench workbench;
        QVERIFY(!workbench.hasModel());
        QVERIFY(workbench.study());
        QVERIFY(workbench.catalog().tensors.empty());
        QVERIFY(!workbench.devices().empty());
        QVERIFY(workbench.jobs()->log().isEmpty());
        workbench.select({QStringLiteral("nothing")});
        QVERIFY(workbench.selection().isEmpty());
        workbench.closeModel();
    }

    void opensAndSweeps()
    {
        Workbench workbench;
        workbench.setSweep({scheme("int8"), scheme("int4:g32")});
        QSignalSpy changed(&workbench, &Workbench::studyChanged);
        QVERIFY(openAndMeasure(workbench, model()));
        QCOMPARE(workbench.catalog().tensors.size(), std::size_t {18});
        QVERIFY(workbench.model());
        for (const auto& tensor : workbench.catalog().tensors)
            for (const auto* each : {"int8", "int4:g32"})
                QCOMPARE(workbench.study()->find(tensor.name, each) != nullptr, tensor.quantizable);
        // And what the recipe itself uses, though it is not in the sweep.
        const auto down = QStringLiteral("model.layers.0.mlp.down_proj.weight");
        QCOMPARE(workbench.schemeOf(down)->toString(), std::string("int4"));
        QVERIFY(workbench.measurementOf(down));
        QVERIFY(changed.size() >= 2);
        QVERIFY(!workbench.recipeUnsaved());
    }

    void failedOpenNamesFileAndReason_data()
    {
        QTest::addColumn<QByteArray>("content");
        QTest::addRow("no checkpoint") << QByteArray("hello, this is no model");
        QTest::addRow("truncated") << QByteArray("\xff\x00\x00\x00\x00\x00\x00\x00{\"a\":", 13);
        QTest::addRow("empty") << QByteArray();
    }
    void failedOpenNamesFileAndReason()
    {
        QFETCH(const QByteArray, content);
        const auto path = m_folder.filePath(QStringLiteral("broken.safetensors"));
        std::ofstream(path.toStdString(), std::ios::binary) << content.toStdString();
        Workbench workbench;
        workbench.setSweep({scheme("int8")});
        QVERIFY(openAndMeasure(workbench, model()));
        QSignalSpy failed(&workbench, &Workbench::failed);
        workbench.openModel(path);
        QVERIFY(failed.wait(patience));
        QVERIFY(failed.first().at(0).toString().contains(QStringLiteral("broken.safetensors")));
        QVERIFY(failed.first().at(1).toString().contains(path));
        QVERIFY(failed.first().at(1).toString().size() > path.size() + 10);
        QVERIFY(workbench.hasModel());  // what was open stays
    }

    void keepsStudyAndRecipeByFingerprint()
    {
        const auto path = model();
        const auto copy = m_folder.filePath(QStringLiteral("renamed.safetensors")).toStdString();
        std::filesystem::copy_file(path, copy, std::filesystem::copy_options::overwrite_existing);
        const auto q = QStringLiteral("model.layers.1.self_attn.q_proj.weight");
        {
            Workbench workbench;
            workbench.setSweep({scheme("int8")});
            QVERIFY(openAndMeasure(workbench, path));
            workbench.setScheme({q}, scheme("int3:g64"));
        }  // closed at once: the edit must not be lost
        Workbench workbench;
        workbench.setSweep({scheme("int8")});
        QSignalSpy opened(&workbench, &Workbench::modelChanged);
        workbench.openModel(text(copy));
        QVERIFY(opened.wait(patience));
        QCOMPARE(*workbench.schemeOf(q), scheme("int3:g64"));
        QVERIFY(workbench.study()->find(q.toStdString(), "int8"));
        QVERIFY(!workbench.recipeUnsaved());
    }

    void reopensAtOnce()
    {
        Workbench workbench;
        workbench.setSweep({scheme("int8")});
        const auto path = model();
        QVERIFY(openAndMeasure(workbench, path));
        workbench.closeModel();
        QVERIFY(!workbench.hasModel());
        QVERIFY(openAndMeasure(workbench, path));
        QVERIFY(openAndMeasure(workbench, path));
        QVERIFY2(!workbench.jobs()->log().join(u'\n').contains(QStringLiteral("new one was begun")),
            qPrintable(workbench.jobs()->log().join(u'\n')));
    }

    void secondWindowGetsAStudyOfItsOwn()
    {
        Workbench first;
        Workbench second;
        for (auto* workbench : {&first, &second})
            workbench->setSweep({scheme("int8")});
        QVERIFY(openAndMeasure(first, model()));
        QVERIFY(openAndMeasure(second, model()));
        QVERIFY(second.study()->find("lm_head.weight", "int8"));
        QVERIFY(second.jobs()->log().join(u'\n').contains(QStringLiteral("new one was begun")));
    }

    void editsAreUndoable()
    {
        Workbench workbench;
        workbench.setSweep({scheme("int8")});
        QVERIFY(openAndMeasure(workbench, model()));
        const auto before = workbench.recipe();
        QSignalSpy changed(&workbench, &Workbench::recipeChanged);
        const auto down = QStringLiteral("model.layers.0.mlp.down_proj.weight");
        workbench.setScheme({down}, scheme("int8"));
        QCOMPARE(*workbench.schemeOf(down), scheme("int8"));
        QVERIFY(workbench.recipeUnsaved());
        workbench.setScheme({down}, std::nullopt);
        QVERIFY(!workbench.schemeOf(down));
        workbench.setDefaultScheme(scheme("int3:g64"));
        QCOMPARE(changed.size(), 3);
        QCOMPARE(workbench.undoStack()->count(), 3);
        while (workbench.undoStack()->canUndo())
            workbench.undoStack()->undo();
        QVERIFY(workbench.recipe() == before);
        QVERIFY(workbench.plan() == quantloupe::resolve(before, workbench.catalog()));
        QVERIFY(!workbench.recipeUnsaved());
        while (workbench.undoStack()->canRedo())
            workbench.undoStack()->redo();
        QCOMPARE(workbench.recipe().defaultPlan.weights, scheme("int3:g64"));
        QVERIFY(!workbench.schemeOf(down));
    }

    void dragsMelt()
    {
        Workbench workbench;
        workbench.setSweep({scheme("int8")});
        QVERIFY(openAndMeasure(workbench, model()));
        const auto before = workbench.recipe();
        for (const auto* each : {"int8", "int6:g64", "int3:g64"}) {
            auto edited = workbench.recipe();
            edited.defaultPlan.weights = scheme(each);
            workbench.setRecipe(edited, QStringLiteral("Budget"), 7);
        }
        QCOMPARE(workbench.undoStack()->count(), 1);
        workbench.undoStack()->undo();
        QVERIFY(workbench.recipe() == before);
    }

    void refusesWhatIsNotBuilt()
    {
        Workbench workbench;
        workbench.setSweep({scheme("int8")});
        QVERIFY(openAndMeasure(workbench, model()));
        QSignalSpy failed(&workbench, &Workbench::failed);
        const auto before = workbench.recipe();
        workbench.setDefaultScheme(scheme("int4+gptq"));
        QCOMPARE(failed.size(), 1);
        QVERIFY(failed.first().at(1).toString().contains(QStringLiteral("gptq")));
        QVERIFY(workbench.recipe() == before);
        workbench.setSweep({scheme("int8"), scheme("int4+gptq")});
        QCOMPARE(failed.size(), 2);
        QCOMPARE(workbench.sweep().size(), std::size_t {1});
    }

    void savesAndLoadsRecipes()
    {
        Workbench workbench;
        workbench.setSweep({scheme("int8")});
        QVERIFY(openAndMeasure(workbench, model()));
        workbench.setDefaultScheme(scheme("int5:g64"));
        const auto path = m_folder.filePath(QStringLiteral("my.recipe.json"));
        QCOMPARE(workbench.saveRecipe(path), QString());
        QVERIFY(!workbench.recipeUnsaved());
        const auto saved = workbench.recipe();
        workbench.setDefaultScheme(scheme("int8"));
        QCOMPARE(workbench.loadRecipe(path), QString());
        QVERIFY(workbench.recipe() == saved);
        QVERIFY(!workbench.recipeUnsaved());
        QVERIFY(
            workbench.saveRecipe(QStringLiteral("/nowhere/at/all.recipe.json")).contains(QStringLiteral("/nowhere")));
        std::ofstream(path.toStdString()) << "{\"quantloupe_recipe\": 1, \"surprise\": 2}";
        QVERIFY(workbench.loadRecipe(path).contains(QStringLiteral("surprise")));
        QVERIFY(workbench.loadRecipe(m_folder.filePath(QStringLiteral("absent"))).contains(QStringLiteral("absent")));
    }

    void savesAndOpensStudies()
    {
        const auto path = m_folder.filePath(QStringLiteral("kept.h5"));
        {
            Workbench workbench;
            workbench.setSweep({scheme("int8")});
            QVERIFY(openAndMeasure(workbench, model()));
            workbench.saveStudyAs(path);
            QTRY_VERIFY_WITH_TIMEOUT(!workbench.jobs()->isBusy(), patience);
            QVERIFY(QFile::exists(path));
        }
        Workbench workbench;
        QVERIFY(openAndMeasure(workbench, path.toStdString()));
        QVERIFY(workbench.hasModel());
        QVERIFY(!workbench.model());
        QCOMPARE(workbench.catalog().tensors.size(), std::size_t {18});
        QVERIFY(workbench.study()->find("lm_head.weight", "int8"));
        // Recipes can still be made, though nothing can be measured.
        workbench.setDefaultScheme(scheme("int8"));
        QVERIFY(workbench.measurementOf(QStringLiteral("model.layers.0.mlp.up_proj.weight")));
        QVERIFY(!workbench.isAnalyzing());
    }

    void cancelledSweepStaysCancelled()
    {
        Workbench workbench;
        workbench.setSweep({scheme("int8")});
        QSignalSpy opened(&workbench, &Workbench::modelChanged);
        workbench.openModel(text(model(2, 256)));
        QVERIFY(opened.wait(patience));
        workbench.cancelAnalysis();
        QTRY_VERIFY_WITH_TIMEOUT(!workbench.isAnalyzing(), patience);
        QTRY_VERIFY_WITH_TIMEOUT(!workbench.jobs()->isBusy(), patience);
        workbench.analyze();
        QTRY_VERIFY_WITH_TIMEOUT(
            !workbench.isAnalyzing() && workbench.study()->find("lm_head.weight", "int8"), patience);
    }

    void selectionIsOneForAll()
    {
        Workbench workbench;
        workbench.setSweep({scheme("int8")});
        QVERIFY(openAndMeasure(workbench, model()));
        QSignalSpy changed(&workbench, &Workbench::selectionChanged);
        QSignalSpy layer(&workbench, &Workbench::layerRequested);
        const auto q = QStringLiteral("model.layers.0.self_attn.q_proj.weight");
        const auto k = QStringLiteral("model.layers.0.self_attn.k_proj.weight");
        workbench.select({q, QStringLiteral("no such tensor"), k});
        QCOMPARE(workbench.selection(), QStringList({q, k}));
        QCOMPARE(workbench.currentTensor(), k);
        workbench.select({q, k});
        QCOMPARE(changed.size(), 1);
        workbench.openLayer(q);
        QCOMPARE(workbench.selection(), QStringList {q});
        QCOMPARE(layer.size(), 1);
    }

    void workIsOrderedByInterest()
    {
        Workbench workbench;
        workbench.setSweep({scheme("int8")});
        QVERIFY(openAndMeasure(workbench, model(4)));
        const auto& catalog = workbench.catalog();
        quantloupe::StudySnapshot nothing;
        Wishes wishes {{scheme("int8"), scheme("int4")}, {{"lm_head.weight", scheme("nf4")}},
            {"model.layers.2.mlp.up_proj.weight"}};
        const auto work = pendingWork(catalog, nothing, workbench.plan(), wishes);
        QCOMPARE(work.size(), std::size_t {4 * 7 + 2});
        const auto name = [&](std::size_t i) { return catalog.tensors[work[i].tensor].name; };
        QCOMPARE(name(0), std::string("model.layers.2.mlp.up_proj.weight"));
        QCOMPARE(name(1), std::string("model.layers.0.mlp.down_proj.weight"));
        QCOMPARE(name(2), std::string("model.layers.3.mlp.down_proj.weight"));
        QVERIFY(!catalog.tensors[work.back().tensor].parts.block);
        QCOMPARE(work[0].schemes, (std::vector {scheme("int8"), scheme("int4")}));
        const auto head = std::find_if(work.begin(), work.end(),
            [&](const auto& unit) { return catalog.tensors[unit.tensor].name == "lm_head.weight"; });
        QCOMPARE(head->schemes.size(), std::size_t {3});
        // What is known is not asked for again.
        const auto rest = pendingWork(catalog, *workbench.study(), workbench.plan(), {{scheme("int8")}, {}, {}});
        QVERIFY(rest.empty());
    }

    void realModel()
    {
        const auto path = tests::corpus() / "llm/stories260K/hf/model.safetensors";
        QUANTLOUPE_NEED(path);
        Workbench workbench;
        workbench.setSweep({scheme("int8")});
        QVERIFY(openAndMeasure(workbench, path));
        QCOMPARE(workbench.catalog().parameters(), std::uint64_t {260'032});
        QCOMPARE(workbench.tensor(QStringLiteral("model.layers.0.mlp.down_proj.weight"))->shape,
            (quantloupe::Shape {64, 172}));
        QVERIFY(workbench.measurementOf(QStringLiteral("model.layers.0.mlp.down_proj.weight"))->error.sqnrDb() > 10.0);
    }
};

QTEST_GUILESS_MAIN(TestWorkbench)
#include "tst_workbench.moc"
