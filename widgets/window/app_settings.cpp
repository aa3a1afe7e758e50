// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/window/app_settings.h"

#include "widgets/workbench/workbench.h"

#include <QDir>
#include <QSettings>

#include <algorithm>

namespace {

constexpr int keptRecentFiles = 10;

std::unique_ptr<QSettings> openStore()
{
    if (!qEnvironmentVariable("QUANTLOUPE_DATA").isEmpty())
        return std::make_unique<QSettings>(
            Workbench::dataFolder() + QStringLiteral("/settings.ini"), QSettings::IniFormat);
    return std::make_unique<QSettings>(QStringLiteral("quantloupe"), QStringLiteral("Quantloupe"));
}

}  // namespace

AppSettings::AppSettings()
    : m_store(openStore())
{
}
AppSettings::~AppSettings() = default;

ThemeMode AppSettings::theme() const
{
    const auto text = m_store->value(QStringLiteral("theme")).toString();
    return text == QLatin1String("light") ? ThemeMode::Light
        : text == QLatin1String("dark")   ? ThemeMode::Dark
                                          : ThemeMode::System;
}

void AppSettings::setTheme(ThemeMode mode)
{
    m_store->setValue(QStringLiteral("theme"),
        mode == ThemeMode::Light      ? QStringLiteral("light")
            : mode == ThemeMode::Dark ? QStringLiteral("dark")
                                      : QStringLiteral("system"));
}

unsigned AppSettings::threads() const
{
    return m_store->value(QStringLiteral("threads"), 0u).toUInt();
}
void AppSettings::setThreads(unsigned threads)
{
    m_store->setValue(QStringLiteral("threads"), threads);
}

quantloupe::Scheme AppSettings::initialScheme() const
{
    const auto text = m_store->value(QStringLiteral("scheme"), QStringLiteral("int4:g128")).toString();
    return quantloupe::Scheme::parse(text.toStdString()).value_or(quantloupe::Scheme::of(quantloupe::Format::Int4));
}

void AppSettings::setInitialScheme(const quantloupe::Scheme& scheme)
{
    m_store->setValue(QStringLiteral("scheme"), QString::fromStdString(scheme.toString()));
}

std::optional<std::vector<quantloupe::Scheme>> AppSettings::sweep() const
{
    const auto texts = m_store->value(QStringLiteral("sweep")).toStringList();
    std::vector<quantloupe::Scheme> schemes;
    for (const auto& text : texts)
        if (const auto scheme = quantloupe::Scheme::parse(text.toStdString()))
            schemes.push_back(*scheme);
    return schemes.empty() ? std::nullopt : std::optional(schemes);
}

void AppSettings::setSweep(const std::vector<quantloupe::Scheme>& schemes)
{
    QStringList texts;
    for (const auto& scheme : schemes)
        texts << QString::fromStdString(scheme.toString());
    m_store->setValue(QStringLiteral("sweep"), texts);
}

QByteArray AppSettings::geometry() const
{
    return m_store->value(QStringLiteral("window/geometry")).toByteArray();
}
QByteArray AppSettings::windowState() const
{
    return m_store->value(QStringLiteral("window/state")).toByteArray();
}

void AppSettings::setWindow(const QByteArray& geometry, const QByteArray& state)
{
    m_store->setValue(QStringLiteral("window/geometry"), geometry);
    m_store->setValue(QStringLiteral("window/state"), state);
}

QString AppSettings::folder() const
{
    return m_store->value(QStringLiteral("folder"), QDir::homePath()).toString();
}
void AppSettings::setFolder(const QString& folder)
{
    m_store->setValue(QStringLiteral("folder"), folder);
}
QString AppSettings::author() const
{
    return m_store->value(QStringLiteral("author")).toString();
}
void AppSettings::setAuthor(const QString& author)
{
    m_store->setValue(QStringLiteral("author"), author);
}

QList<RecentFile> AppSettings::recentFiles() const
{
    QList<RecentFile> files;
    const auto count = m_store->beginReadArray(QStringLiteral("recent"));
    for (int i = 0; i < std::min(count, keptRecentFiles); ++i) {
        m_store->setArrayIndex(i);
        RecentFile file;
        file.path = m_store->value(QStringLiteral("path")).toString();
        file.architecture = m_store->value(QStringLiteral("architecture")).toString();
        file.dtype = m_store->value(QStringLiteral("dtype")).toString();
        file.parameters = m_store->value(QStringLiteral("parameters")).toULongLong();
        file.bytes = m_store->value(QStringLiteral("bytes")).toULongLong();
        file.opened = m_store->value(QStringLiteral("opened")).toDateTime();
        if (!file.path.isEmpty())
            files << file;
    }
    m_store->endArray();
    return files;
}

void AppSettings::writeRecentFiles(const QList<RecentFile>& files)
{
    m_store->remove(QStringLiteral("recent"));
    m_store->beginWriteArray(QStringLiteral("recent"), static_cast<int>(files.size()));
    for (int i = 0; i < files.size(); ++i) {
        m_store->setArrayIndex(i);
        m_store->setValue(QStringLiteral("path"), files[i].path);
        m_store->setValue(QStringLiteral("architecture"), files[i].architecture);
        m_store->setValue(QStringLiteral("dtype"), files[i].dtype);
        m_store->setValue(QStringLiteral("parameters"), files[i].parameters);
        m_store->setValue(QStringLiteral("bytes"), files[i].bytes);
        m_store->setValue(QStringLiteral("opened"), files[i].opened);
    }
    m_store->endArray();
    m_store->sync();
}

void AppSettings::addRecentFile(const RecentFile& file)
{
    auto files = recentFiles();
    files.removeIf([&](const RecentFile& other) { return other.path == file.path; });
    files.prepend(file);
    writeRecentFiles(files.mid(0, keptRecentFiles));
}

void AppSettings::removeRecentFile(const QString& path)
{
    auto files = recentFiles();
    files.removeIf([&](const RecentFile& file) { return file.path == path; });
    writeRecentFiles(files);
}

void AppSettings::clearRecentFiles()
{
    writeRecentFiles({});
}
