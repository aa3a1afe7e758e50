// SPDX-License-Identifier: GPL-3.0-or-later
#include "study_fixture.h"

#include <QProcess>
#include <QStandardPaths>
#include <QTest>
#include <QThread>

#include <cmath>
#include <limits>

using namespace quantloupe;
using namespace quantloupe::tests;

class TestStudy : public QObject
{
    Q_OBJECT
private:
    QTemporaryDir m_folder;
    std::filesystem::path at(const char* name) const
    {
        return std::filesystem::path(m_folder.path().toStdString()) / name;
    }

private Q_SLOTS:
    void keepsEverything()
    {
        const auto path = at("everything.h5");
        const auto catalog = makeCatalog(9);
        const std::vector<TensorMeasurement> measurements {
            makeMeasurement("blk.0.attn_q.weight", {"int8", "int4:g32:asym:mse", "nf4:g64"}, 1),
            makeMeasurement("blk.5.attn_q.weight", {"int4"}, 2, 3, 0),
            makeMeasurement("blk.2.attn_q.weight", {}, 3),
        };
        const auto recipe = Recipe::uniform(Scheme::parse("int4").value(), catalog);
        {
            auto study = Study::open(path, catalog);
            QVERIFY2(study.has_value(), study ? "" : describe(study.error()).c_str());
            for (const auto& measurement : measurements)
                QVERIFY((*study)->append(measurement).has_value());
            QVERIFY((*study)->setRecipe(recipe).has_value());
            QVERIFY((*study)->close().has_value());
            QVERIFY(!(*study)->append(measurements.front()).has_value());
        }
        QVERIFY(!std::filesystem::exists(at("everything.h5.journal")));
        const auto read = Study::read(path);
        QVERIFY2(read.has_value(), read ? "" : describe(read.error()).c_str());
        QVERIFY((*read)->model == catalog);
        QVERIFY((*read)->recipe == recipe);
        QCOMPARE((*read)->weights.size(), measurements.size());
        for (const auto& measurement : measurements)
            QVERIFY(holds(**read, measurement));
        QCOMPARE((*read)->of("blk.0.attn_q.weight").size(), std::size_t(3));
        QVERIFY((*read)->of("blk.2.attn_q.weight").empty());
        QVERIFY((*read)->find("blk.2.attn_q.weight", "int8") == nullptr);
        // Writing what was read gives the same bytes: nothing is lost or depends on the moment.
        const auto before = contentOf(path);
        QThread::msleep(1100);  // past the resolution of HDF5's time stamps
        auto again = Study::open(path, catalog);
        QVERIFY(again.has_value());
        QVERIFY((*again)->append(measurements[1]).has_value());
        QVERIFY((*again)->close().has_value());
        QVERIFY(contentOf(path) == before);
    }

    void emptyStudyReads()
    {
        const auto path = at("empty.h5");
        const auto catalog = makeCatalog(0);
        QVERIFY(Study::open(path, catalog).has_value());
        const auto read = Study::read(path);
        QVERIFY2(read.has_value(), read ? "" : describe(read.error()).c_str());
        QVERIFY((*read)->model == catalog && (*read)->weights.empty() && !(*read)->recipe);
    }

    void extremeNumbersSurvive()
    {
        const auto path = at("extreme.h5");
        auto measurement = makeMeasurement("blk.0.attn_q.weight", {"int8"}, 1);
        auto& error = measurement.schemes[0].error;
        error.maxAbsError = std::numeric_limits<double>::infinity();
        error.errorSum = -0.0;
        error.errorEnergy = std::numeric_limits<double>::denorm_min();
        error.count = std::numeric_limits<std::uint64_t>::max();
        measurement.schemes[0].rowErrorEnergy = {};
        measurement.weights.rowAbsMax = {-0.0F, std::numeric_limits<float>::infinity()};
        {
            auto study = Study::open(path, makeCatalog(2)).value();
            QVERIFY(study->append(measurement).has_value());
        }
        const auto read = Study::read(path).value();
        QVERIFY(holds(*read, measurement));
        QVERIFY(std::signbit(read->find("blk.0.attn_q.weight", "int8")->error.errorSum));
        QVERIFY(std::signbit(read->findWeights("blk.0.attn_q.weight")->rowAbsMax[0]));
    }

    void newerMeasurementReplaces()
    {
        const auto path = at("replace.h5");
        const auto older = makeMeasurement("blk.0.attn_q.weight", {"int8", "int4"}, 1);
        const auto newer = makeMeasurement("blk.0.attn_q.weight", {"int4"}, 2);
        auto study = Study::open(path, makeCatalog(1)).value();
        QVERIFY(study->append(older).has_value());
        const auto before = study->snapshot();
        QVERIFY(study->append(newer).has_value());
        const auto after = study->snapshot();
        QVERIFY(holds(*before, older));
        QVERIFY(holds(*after, newer));
        QVERIFY(*after->find("blk.0.attn_q.weight", "int8") == older.schemes[0]);
        // What did not change is shared, not copied; and an unchanged study gives the same snapshot again.
        QCOMPARE(after->find("blk.0.attn_q.weight", "int8"), before->find("blk.0.attn_q.weight", "int8"));
        QCOMPARE(study->snapshot().get(), after.get());
    }

    void schemesAreOrderedBySize()
    {
        StudySnapshot study;
        auto measurement = makeMeasurement("a", {"int8", "int4", "int2"}, 1);
        const double bits[] = {8.5, 4.25, 2.125};
        for (std::size_t i = 0; i < 3; ++i) {
            measurement.schemes[i].bitsPerWeight = bits[i];
            measurement.schemes[i].storedBytes = static_cast<std::uint64_t>(bits[i] * 1000);
        }
        study.add(measurement);
        auto partly = makeMeasurement("b", {"int4"}, 1);
        partly.schemes[0].bitsPerWeight = 4.25;
        partly.schemes[0].storedBytes = 425'000;
        study.add(partly);
        QVERIFY(study.schemes() == (std::vector<std::string> {"int2", "int4", "int8"}));
    }

    void recipeIsRememberedBeforeClose()
    {
        const auto path = at("recipe.h5");
        const auto catalog = makeCatalog(4);
        auto study = Study::open(path, catalog).value();
        auto recipe = Recipe::uniform(Scheme::parse("int8").value(), catalog);
        recipe.notes = "naïve";
        QVERIFY(study->setRecipe(recipe).has_value());
        QVERIFY(Study::read(path).value()->recipe == recipe);
        recipe.notes = "second thought";
        QVERIFY(study->setRecipe(recipe).has_value());
        QVERIFY(study->save().has_value());
        QVERIFY(Study::read(path).value()->recipe == recipe);
    }

    void refusesAnotherModel()
    {
        const auto path = at("mine.h5");
        QVERIFY(Study::open(path, makeCatalog(2, "aaaa")).has_value());
        const auto before = contentOf(path);
        const auto other = Study::open(path, makeCatalog(2, "bbbb"));
        QVERIFY(!other);
        QCOMPARE(other.error().code, ErrorCode::Conflict);
        QVERIFY(other.error().reason.find("aaaa") != std::string::npos);
        QVERIFY(other.error().reason.find("bbbb") != std::string::npos);
        QVERIFY(contentOf(path) == before);
        QVERIFY(!std::filesystem::exists(at("mine.h5.journal")));
        // A journal of another model is as foreign as its file.
        auto study = Study::open(path, makeCatalog(2, "aaaa")).value();
        QVERIFY(study->append(makeMeasurement("blk.0.attn_q.weight", {"int8"}, 1)).has_value());
        const auto journal = contentOf(at("mine.h5.journal"));
        QVERIFY(study->close().has_value());
        overwrite(at("foreign.h5.journal"), journal);
        const auto foreign = Study::open(at("foreign.h5"), makeCatalog(2, "cccc"));
        QVERIFY(!foreign);
        QCOMPARE(foreign.error().code, ErrorCode::Conflict);
        QVERIFY(contentOf(at("foreign.h5.journal")) == journal);
        QVERIFY(!std::filesystem::exists(at("foreign.h5")));
    }

    void refusesASecondWriter()
    {
        const auto path = at("one writer.h5");
        auto first = Study::open(path, makeCatalog(2)).value();
        const auto second = Study::open(path, makeCatalog(2));
        QVERIFY(!second);
        QCOMPARE(second.error().code, ErrorCode::Conflict);
        // By another name, too.
        std::filesystem::create_symlink(path, at("link.h5"));
        QCOMPARE(Study::open(at("link.h5"), makeCatalog(2)).error().code, ErrorCode::Conflict);
        QVERIFY(Study::read(path).has_value());
        QVERIFY(first->append(makeMeasurement("blk.0.attn_q.weight", {"int8"}, 1)).has_value());
        QVERIFY(Study::read(path).value()->find("blk.0.attn_q.weight", "int8") != nullptr);
        QVERIFY(first->close().has_value());
        QVERIFY(Study::open(path, makeCatalog(2)).has_value());
    }

    void refusesWhatItCannotHold()
    {
        auto study = Study::open(at("unknown.h5"), makeCatalog(1)).value();
        const auto unknown = study->append(makeMeasurement("nobody", {"int8"}, 1));
        QVERIFY(!unknown);
        QCOMPARE(unknown.error().code, ErrorCode::InvalidArgument);
        QVERIFY(!Study::open(at("no such folder") / "a.h5", makeCatalog(1)));
        QVERIFY(!Study::open(at("nameless.h5"), makeCatalog(1, "")));
        auto catalog = makeCatalog(1);
        catalog.tensors[0].name.push_back('\0');
        QVERIFY(!Study::open(at("nul.h5"), catalog));
        QVERIFY(!std::filesystem::exists(at("nul.h5")));
        QVERIFY(!std::filesystem::exists(at("nul.h5.journal")));
        QCOMPARE(Study::read(at("absent.h5")).error().code, ErrorCode::CannotOpen);
    }

    void otherToolsReadIt()
    {
        const auto dump = QStandardPaths::findExecutable("h5dump");
        if (dump.isEmpty())
            QSKIP("h5dump is not installed");
        const auto path = at("plain.h5");
        {
            auto study = Study::open(path, makeCatalog(3)).value();
            QVERIFY(study->append(makeMeasurement("blk.0.attn_q.weight", {"int8", "int4"}, 1)).has_value());
        }
        QProcess process;
        process.start(dump, {"-d", "/results/scheme", "-a", "/fingerprint", QString::fromStdString(path.string())});
        QVERIFY(process.waitForFinished());
        const auto output = process.readAllStandardOutput();
        QCOMPARE(process.exitCode(), 0);
        QVERIFY2(output.contains("\"int4") && output.contains("\"int8") && output.contains("0123456789abcdef"), output);
    }
};

QTEST_APPLESS_MAIN(TestStudy)
#include "tst_study.moc"
