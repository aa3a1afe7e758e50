// SPDX-License-Identifier: GPL-3.0-or-later
// Studies and journals that were cut, flipped or made by somebody else: refused or cut back, never trusted.
#include "core/study/study_file.h"
#include "core/base/hash.h"
#include "core/study/hdf5_handles.h"
#include "study_fixture.h"
#include "tests/support/shared_data.h"

#include <QTest>

#include <random>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

/// Seals a damaged file anew, so that the damage reaches the checks behind the checksum.
void reseal(QByteArray& file)
{
    FingerprintHasher hasher;
    hasher.add(std::as_bytes(std::span(file.constData(), std::size_t(file.size()))).subspan(study_schema::kUserBlock));
    file.replace(qsizetype(study_schema::kSeal.size()), 32, QByteArray::fromStdString(hasher.hex()));
}

}  // namespace

class TestStudyDamage : public QObject
{
    Q_OBJECT
private:
    QTemporaryDir m_folder;
    std::filesystem::path at(const char* name) const
    {
        return std::filesystem::path(m_folder.path().toStdString()) / name;
    }

    QByteArray soundStudy()
    {
        const auto path = at("sound.h5");
        std::filesystem::remove(path);
        auto study = Study::open(path, makeCatalog(6)).value();
        for (unsigned i = 0; i < 3; ++i) {
            const auto name = "blk." + std::to_string(i) + ".attn_q.weight";
            if (!study->append(makeMeasurement(name, {"int8", "int4"}, i)))
                qFatal("cannot append");
        }
        if (!study->close())
            qFatal("cannot close");
        return contentOf(path);
    }

    static bool refused(const Result<StudySnapshot>& result)
    {
        return !result
            && (result.error().code == ErrorCode::Malformed || result.error().code == ErrorCode::NotThisFormat);
    }

private Q_SLOTS:
    void cutStudyIsRefused()
    {
        const auto sound = soundStudy();
        const auto path = at("cut.h5");
        std::mt19937 random(1);
        for (int i = 0; i < 30; ++i) {
            const auto length = i < 4 ? qsizetype(i * 200) : qsizetype(random() % std::size_t(sound.size()));
            overwrite(path, sound.left(length));
            QVERIFY2(refused(readStudyFile(path)), qPrintable(QString::number(length)));
            const auto opened = Study::open(path, makeCatalog(6));
            QVERIFY(!opened);
            QCOMPARE(contentOf(path).size(), length);  // somebody may still want to rescue it
        }
        overwrite(path, sound + "x");
        QVERIFY(refused(readStudyFile(path)));
    }

    void everyFlippedBitIsNoticed()
    {
        const auto sound = soundStudy();
        const auto path = at("flipped.h5");
        std::mt19937 random(2);
        for (int i = 0; i < 300; ++i) {
            auto damaged = sound;
            const auto place = std::size_t(random() % (std::size_t(sound.size()) - study_schema::kUserBlock))
                + study_schema::kUserBlock;
            damaged[qsizetype(place)] = char(damaged[qsizetype(place)] ^ (1 << (random() % 8)));
            overwrite(path, damaged);
            const auto result = readStudyFile(path);
            QVERIFY(!result);
            QCOMPARE(result.error().code, ErrorCode::Malformed);
            QVERIFY(result.error().where.find("flipped.h5") != std::string::npos);
        }
    }

    /// With the right checksum over wrong content the HDF5 library and our checks of sizes are all that is left.
    void resealedDamageNeverCrashes()
    {
        const auto sound = soundStudy();
        const auto path = at("resealed.h5");
        std::mt19937 random(3);
        int noticed = 0;
        for (int i = 0; i < 400; ++i) {
            auto damaged = sound;
            // Most of a study is arrays, where any bits are good numbers: aim at the structure in front and between.
            const auto span = i % 2 ? std::size_t(sound.size()) - study_schema::kUserBlock : std::size_t(4096);
            const auto place = qsizetype(random() % span + study_schema::kUserBlock);
            damaged[place] = char(random());
            reseal(damaged);
            overwrite(path, damaged);
            if (!readStudyFile(path))
                ++noticed;
        }
        QVERIFY(noticed > 20);
    }

    void foreignFilesAreNotStudies()
    {
        const auto path = at("foreign.h5");
        for (const auto& content : {QByteArray(), QByteArray("hello"), QByteArray(4096, '\0'),
                 QByteArray("\x89HDF\r\n\x1a\n") + QByteArray(2048, 'x')}) {
            overwrite(path, content);
            const auto result = readStudyFile(path);
            QVERIFY(!result);
            QCOMPARE(result.error().code, ErrorCode::NotThisFormat);
            QVERIFY(!isStudyFile(path));
            QVERIFY(!Study::open(path, makeCatalog(1)));
            QVERIFY(contentOf(path) == content);
            QVERIFY(!std::filesystem::exists(at("foreign.h5.journal")));
        }
        QVERIFY(!isStudyFile(at("absent.h5")));
        soundStudy();
        QVERIFY(isStudyFile(at("sound.h5")));
        const auto cves = corpus() / "hostile" / "hdf5-cve";
        QUANTLOUPE_NEED(cves);
        for (const auto& entry : std::filesystem::directory_iterator(cves)) {
            QVERIFY(!readStudyFile(entry.path()));
        }
    }

    /// Written before packing was known.
    void studiesWithoutPackingAreRead()
    {
        overwrite(at("older.h5"), soundStudy());
        {
            const hdf5::File file(H5Fopen(at("older.h5").c_str(), H5F_ACC_RDWR, H5P_DEFAULT));
            QVERIFY(H5Ldelete(file.id(), "/model/tensors/packing", H5P_DEFAULT) >= 0);
        }
        auto file = contentOf(at("older.h5"));
        reseal(file);
        overwrite(at("older.h5"), file);
        const auto result = readStudyFile(at("older.h5"));
        QVERIFY2(result, result ? "" : describe(result.error()).c_str());
        auto expected = makeCatalog(6);
        QVERIFY(!expected.tensors[4].packing.empty());
        QVERIFY(!(result->model == expected));
        expected.tensors[4].packing.clear();
        QVERIFY(result->model == expected);
    }

    void newerVersionIsNamed()
    {
        overwrite(at("newer.h5"), soundStudy());
        {
            const hdf5::File file(H5Fopen(at("newer.h5").c_str(), H5F_ACC_RDWR, H5P_DEFAULT));
            const hdf5::Attribute version(
                H5Aopen_by_name(file.id(), "/", "quantloupe_study", H5P_DEFAULT, H5P_DEFAULT));
            const std::uint64_t two = 2;
            QVERIFY(H5Awrite(version.id(), H5T_NATIVE_UINT64, &two) >= 0);
        }
        auto file = contentOf(at("newer.h5"));
        reseal(file);
        overwrite(at("newer.h5"), file);
        const auto result = readStudyFile(at("newer.h5"));
        QVERIFY(!result);
        QVERIFY2(result.error().code == ErrorCode::Unsupported, describe(result.error()).c_str());
        QVERIFY(result.error().reason.find("version 2") != std::string::npos);
    }

    /// A journal cut anywhere gives exactly the records that are whole, and goes on from there.
    void tornJournalKeepsWholeRecords()
    {
        const auto path = at("torn.h5");
        const auto journalPath = at("torn.h5.journal");
        std::vector<qsizetype> ends;
        QByteArray file;
        QByteArray journal;
        const auto measurement = [](unsigned i) {
            return makeMeasurement("blk." + std::to_string(i) + ".attn_q.weight", {"int8"}, i, 4, 4);
        };
        {
            auto study = Study::open(path, makeCatalog(8)).value();
            file = contentOf(path);
            ends.push_back(contentOf(journalPath).size());
            for (unsigned i = 0; i < 3; ++i) {
                QVERIFY(study->append(measurement(i)).has_value());
                ends.push_back(contentOf(journalPath).size());
            }
            journal = contentOf(journalPath);
        }
        for (qsizetype length = 0; length <= journal.size(); length += length < 64 ? 1 : 701) {
            for (const bool garbage : {false, true}) {
                overwrite(path, file);
                overwrite(journalPath, journal.left(length) + (garbage ? QByteArray(333, '\xa5') : QByteArray()));
                const auto whole = std::count_if(ends.begin() + 1, ends.end(), [&](auto end) { return end <= length; });
                auto study = Study::open(path, makeCatalog(8));
                if (length < 8 && garbage) {
                    QVERIFY(!study);  // not recognisable as a journal: not ours to cut
                    std::filesystem::remove(journalPath);
                    continue;
                }
                QVERIFY2(study.has_value(), study ? "" : describe(study.error()).c_str());
                QCOMPARE((*study)->snapshot()->weights.size(), std::size_t(whole));
                for (unsigned i = 0; i < unsigned(whole); ++i)
                    QVERIFY(holds(*(*study)->snapshot(), measurement(i)));
                QVERIFY((*study)->append(measurement(5)).has_value());
                QCOMPARE(Study::read(path).value()->weights.size(), std::size_t(whole + 1));
            }
        }
    }

    void damagedMiddleStopsAtTheLastGoodRecord()
    {
        const auto path = at("middle.h5");
        const auto journalPath = at("middle.h5.journal");
        std::vector<qsizetype> ends;
        auto study = Study::open(path, makeCatalog(8)).value();
        const auto file = contentOf(path);
        for (unsigned i = 0; i < 4; ++i) {
            ends.push_back(contentOf(journalPath).size());
            QVERIFY(
                study->append(makeMeasurement("blk." + std::to_string(i) + ".attn_q.weight", {"int8"}, i)).has_value());
        }
        const auto journal = contentOf(journalPath);
        QVERIFY(study->close().has_value());
        for (const qsizetype offset : {0, 4, 9, 40, 500}) {
            overwrite(path, file);
            auto damaged = journal;
            damaged[ends[2] + offset] = char(damaged[ends[2] + offset] ^ 0x10);
            overwrite(journalPath, damaged);
            QCOMPARE(Study::read(path).value()->weights.size(), std::size_t(2));
            auto opened = Study::open(path, makeCatalog(8));
            QVERIFY(opened.has_value());
            QCOMPARE((*opened)->snapshot()->weights.size(), std::size_t(2));
        }
    }

    void nobodysFileIsTakenForAJournal()
    {
        overwrite(at("letter.h5.journal"), "Dear diary, today I quantized a model and it went well enough.");
        const auto result = Study::open(at("letter.h5"), makeCatalog(1));
        QVERIFY(!result);
        QCOMPARE(result.error().code, ErrorCode::Malformed);
        QVERIFY(contentOf(at("letter.h5.journal")).startsWith("Dear diary"));
        QVERIFY(!std::filesystem::exists(at("letter.h5")));
    }

    void leftoversOfAKilledSaveAreRemoved()
    {
        overwrite(at("left.h5.tmp-1-2"), "half a study");
        overwrite(at("left.h5.notes"), "mine");
        QVERIFY(Study::open(at("left.h5"), makeCatalog(1)).has_value());
        QVERIFY(!std::filesystem::exists(at("left.h5.tmp-1-2")));
        QVERIFY(std::filesystem::exists(at("left.h5.notes")));
    }
};

QTEST_APPLESS_MAIN(TestStudyDamage)
#include "tst_study_damage.moc"
