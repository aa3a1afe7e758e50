// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/schemes/scheme.h"
#include "widgets/theme/theme.h"

#include <QByteArray>
#include <QDateTime>
#include <QList>
#include <QString>

#include <memory>
#include <optional>
#include <vector>

class QSettings;

/// A model that was open before.
struct RecentFile {
    QString path;
    QString architecture;  ///< "llama"; may be empty
    QString dtype;         ///< of most bytes, "BF16"
    quint64 parameters = 0;
    quint64 bytes = 0;
    QDateTime opened;
    bool operator==(const RecentFile&) const = default;
};

/// What the window remembers from one run to the next: in $QUANTLOUPE_DATA/settings.ini where that is set, else where
/// the system keeps settings. Written at once.
class AppSettings final
{
public:
    AppSettings();
    ~AppSettings();

    ThemeMode theme() const;
    void setTheme(ThemeMode mode);
    unsigned threads() const;  ///< 0: all
    void setThreads(unsigned threads);
    quantloupe::Scheme initialScheme() const;  ///< int4:g128 unless chosen
    void setInitialScheme(const quantloupe::Scheme& scheme);
    std::optional<std::vector<quantloupe::Scheme>> sweep() const;  ///< absent unless chosen
    void setSweep(const std::vector<quantloupe::Scheme>& schemes);

    QByteArray geometry() const;
    QByteArray windowState() const;
    void setWindow(const QByteArray& geometry, const QByteArray& state);
    QString folder() const;  ///< where the last file was opened or saved
    void setFolder(const QString& folder);
    QString author() const;  ///< of reports
    void setAuthor(const QString& author);

    /// Newest first, ten at most.
    QList<RecentFile> recentFiles() const;
    /// Moves the file to the front.
    void addRecentFile(const RecentFile& file);
    void removeRecentFile(const QString& path);
    void clearRecentFiles();

private:
    void writeRecentFiles(const QList<RecentFile>& files);
    std::unique_ptr<QSettings> m_store;
};
