// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/base/atomic_file.h"
#include "core/base/mapped_file.h"

#include <QDir>
#include <QFile>
#include <QTemporaryDir>
#include <QTest>

#include <cstring>

#include <sys/stat.h>

using namespace quantloupe;

namespace {

QByteArray contentOf(const QString& path)
{
    QFile file(path);
    return file.open(QIODevice::ReadOnly) ? file.readAll() : QByteArray("<cannot open>");
}

}  // namespace

class TestFiles : public QObject
{
    Q_OBJECT

    QTemporaryDir m_folder;
    std::filesystem::path at(const char* name) const { return m_folder.filePath(QLatin1String(name)).toStdString(); }

private Q_SLOTS:
    void mapsContent()
    {
        QVERIFY(writeFileAtomically(at("mapped"), "loupe").has_value());
        const auto file = MappedFile::open(at("mapped"));
        QVERIFY(file.has_value());
        QCOMPARE((*file)->bytes().size(), std::size_t(5));
        QVERIFY(std::memcmp((*file)->bytes().data(), "loupe", 5) == 0);
    }

    void mapsAnEmptyFile()
    {
        QVERIFY(writeFileAtomically(at("empty"), "").has_value());
        const auto file = MappedFile::open(at("empty"));
        QVERIFY(file.has_value());
        QVERIFY((*file)->bytes().empty());
    }

    void releasedPagesReadTheSame()
    {
        const std::string content(100'000, 'q');
        QVERIFY(writeFileAtomically(at("released"), content).has_value());
        const auto file = MappedFile::open(at("released"));
        QVERIFY(file.has_value());
        const auto bytes = (*file)->bytes();
        (*file)->release(bytes.subspan(5, 90'000));
        QVERIFY(std::memcmp(bytes.data(), content.data(), content.size()) == 0);
    }

    void refuses_data()
    {
        QTest::addColumn<QString>("name");
        QTest::addRow("missing") << "no such file";
        QTest::addRow("folder") << ".";
        QTest::addRow("fifo") << "fifo";
    }
    void refuses()
    {
        QFETCH(const QString, name);
        ::mkfifo(at("fifo").c_str(), 0600);
        const auto path = m_folder.filePath(name).toStdString();
        const auto file = MappedFile::open(path);
        QVERIFY(!file.has_value());
        QCOMPARE(file.error().code, ErrorCode::CannotOpen);
        QCOMPARE(file.error().where, path);
        QVERIFY(!file.error().reason.empty());
    }

    void replacesAsAWhole()
    {
        QVERIFY(writeFileAtomically(at("replaced"), "old").has_value());
        QVERIFY(writeFileAtomically(at("replaced"), "new and longer").has_value());
        QCOMPARE(contentOf(m_folder.filePath("replaced")), QByteArray("new and longer"));
    }

    void failureLeavesTheOldFile()
    {
        QVERIFY(writeFileAtomically(at("kept"), "old").has_value());
        const auto before = QDir(m_folder.path()).entryList(QDir::Files | QDir::System);
        const auto done = replaceFileAtomically(at("kept"), [](const std::filesystem::path& temporary) -> Result<void> {
            if (auto half = writeFileAtomically(temporary, "half"); !half)
                return half;
            return failure(ErrorCode::Internal, "writer", "gave up");
        });
        QVERIFY(!done.has_value());
        QCOMPARE(done.error().reason, std::string("gave up"));
        QCOMPARE(contentOf(m_folder.filePath("kept")), QByteArray("old"));
        QCOMPARE(QDir(m_folder.path()).entryList(QDir::Files | QDir::System), before);
    }

    void namesTheTargetThatCannotBeWritten()
    {
        const auto path = at("no such folder") / "file";
        const auto done = writeFileAtomically(path, "x");
        QVERIFY(!done.has_value());
        QCOMPARE(done.error().code, ErrorCode::CannotWrite);
        QCOMPARE(done.error().where, path.string());
    }

    void keepsPermissionsAndLinks()
    {
        QVERIFY(writeFileAtomically(at("private"), "old").has_value());
        QCOMPARE(::chmod(at("private").c_str(), 0600), 0);
        std::filesystem::create_symlink(at("private"), at("link"));
        QVERIFY(writeFileAtomically(at("link"), "new").has_value());
        QVERIFY(std::filesystem::is_symlink(at("link")));
        QCOMPARE(contentOf(m_folder.filePath("private")), QByteArray("new"));
        struct stat status {
        };
        QCOMPARE(::stat(at("private").c_str(), &status), 0);
        QCOMPARE(status.st_mode & 0777U, 0600U);
    }
};

QTEST_APPLESS_MAIN(TestFiles)
#include "tst_files.moc"
